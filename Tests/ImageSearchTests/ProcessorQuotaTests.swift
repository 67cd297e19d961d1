import Foundation
import ImageSearch
import TestSupport
import Testing

/// Files as the kernel lays them out (cgroup-v2.rst, sched-bwc.rst).
@Suite struct ProcessorQuotaTests {
    private func quota(_ membership: String, _ files: [String: String]) throws -> Double? {
        try Fixtures.withDirectory { directory in
            try membership.write(
                toFile: "\(directory)/membership", atomically: false, encoding: .utf8)
            for (path, text) in files {
                let file = URL(filePath: "\(directory)/cgroup/\(path)")
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                try text.write(to: file, atomically: false, encoding: .utf8)
            }
            return ProcessorQuota.processors(
                membership: "\(directory)/membership", root: "\(directory)/cgroup")
        }
    }

    @Test func versionTwo() throws {
        #expect(try quota("0::/\n", ["cpu.max": "150000 100000\n"]) == 1.5)
        #expect(try quota("0::/\n", ["cpu.max": "max 100000\n"]) == nil)
        #expect(try quota("0::/\n", [:]) == nil)
    }

    @Test func tightestOfNestedGroupsCounts() throws {
        let files = ["a/cpu.max": "50000 100000\n", "a/b/cpu.max": "400000 100000\n"]
        #expect(try quota("0::/a/b\n", files) == 0.5)
    }

    @Test func versionOne() throws {
        let membership = "5:memory:/x\n4:cpu,cpuacct:/docker/0123\n0::/\n"
        #expect(
            try quota(
                membership,
                [
                    "cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
                    "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                ]
            ) == 3)
        #expect(
            try quota(
                membership,
                [
                    "cpu/docker/0123/cpu.cfs_quota_us": "-1\n",
                    "cpu/docker/0123/cpu.cfs_period_us": "100000\n",
                ]) == nil)
    }

    @Test func damagedFilesAreNoLimit() throws {
        for text in ["", "100000", "0 100000", "100000 0", "many few"] {
            #expect(try quota("0::/\n", ["cpu.max": text]) == nil)
        }
    }
}
