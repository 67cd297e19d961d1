import CKernels
import ClipCore
import Foundation
import TestSupport
import Testing

@Suite struct ResamplerTests {
    @Test("Resizing gives Pillow's pixels", arguments: GoldenImages.shared.resize)
    func resizing(_ expected: GoldenImages.Synthetic) {
        let (width, height) = (expected.toWidth!, expected.toHeight!)
        let image = expected.image()
        let resized = Resampler(width: width, height: height).resize(
            image, columns: 0..<width, rows: 0..<height)
        #expect(crc32(resized.pixels) == expected.crc)
        #expect(NaiveResampler.resize(image, width: width, height: height) == resized)
    }

    @Test func aWindowIsACropOfTheWhole() {
        var random = SplitMix(state: 11)
        for _ in 0..<300 {
            let mode = [PixelImage.Mode.grey, .rgb, .cmyk].randomElement(using: &random)!
            let side = { Int.random(in: 1...60, using: &random) }
            let (width, height, toWidth, toHeight) = (side(), side(), side(), side())
            let pixels = (0..<width * height * mode.channels).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            let image = PixelImage(width: width, height: height, mode: mode, pixels: pixels)
            let left = Int.random(in: 0..<toWidth, using: &random)
            let top = Int.random(in: 0..<toHeight, using: &random)
            let columns = left..<Int.random(in: left + 1...toWidth, using: &random)
            let rows = top..<Int.random(in: top + 1...toHeight, using: &random)

            let window = Resampler(width: toWidth, height: toHeight).resize(
                image, columns: columns, rows: rows)
            let whole = NaiveResampler.resize(image, width: toWidth, height: toHeight)
            #expect(
                window == whole.cropped(columns: columns, rows: rows),
                "\(mode) \(width)×\(height) to \(toWidth)×\(toHeight), \(columns), \(rows)")
        }
    }

    /// Waves of eight result lines stay where they are, also where the last average is of fewer lines.
    @Test(arguments: [(452, 30, 7), (193, 20, 4), (1_003, 30, 16), (1_411, 90, 7), (640, 320, 1)])
    func averagedLinesShiftNothing(height: Int, toHeight: Int, lines: Int) {
        for mode in [PixelImage.Mode.grey, .rgb, .rgba, .cmyk] {
            var pixels: [UInt8] = []
            for y in 0..<height {
                let angle = 2 * .pi * (Double(y) + 0.5) * Double(toHeight) / Double(height) / 8
                let value = UInt8(128 + 100 * sin(angle))
                for _ in 0..<40 {
                    pixels += (0..<mode.channels).map { $0 == 3 && mode == .rgba ? 200 : value }
                }
            }
            let image = PixelImage(width: 40, height: height, mode: mode, pixels: pixels)
            let near = Resampler(width: 9, height: toHeight, averagedLines: lines).resize(
                image, columns: 0..<9, rows: 0..<toHeight)
            let exact = NaiveResampler.resize(image, width: 9, height: toHeight)
            let differences = zip(near.pixels, exact.pixels).map { abs(Int($0) - Int($1)) }
            // At the edges there are no lines on the other side.
            let edge = 2 * 9 * mode.channels
            #expect(differences[edge..<differences.count - edge].max()! <= 3, "\(mode)")
        }
    }

    @Test func theKernelIsTheTextbook() {
        var random = SplitMix(state: 5)
        for round in 0..<200 {
            let channels = round % 4 + 1
            let outputs = Int.random(in: 1...40, using: &random)
            let steps = Int.random(in: 1...5, using: &random)
            let width = steps * cpx_taps_in_step(Int32(channels)) + 20
            let line = (0..<width * channels + Int(CPX_LINE_PADDING)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            let starts = (0..<outputs).map { _ in
                Int32(Int.random(in: 0...20, using: &random) * channels)
            }
            var weights = [Int32](repeating: 0, count: outputs * steps * 16)
            // The textbook's sums, which begin with half a unit.
            var sums = [Int32](repeating: 1 << (CPX_FRACTION_BITS - 1), count: outputs * channels)
            weights.withUnsafeMutableBufferPointer { weights in
                for output in 0..<outputs {
                    for tap in 0..<steps * cpx_taps_in_step(Int32(channels)) {
                        let weight = Int32.random(in: -700_000...900_000, using: &random)
                        cpx_place_weight(
                            weights.baseAddress! + output * steps * 16, Int32(channels), tap,
                            weight)
                        for channel in 0..<channels {
                            let sample = line[Int(starts[output]) + tap * channels + channel]
                            sums[output * channels + channel] &+= Int32(sample) &* weight
                        }
                    }
                }
            }
            var fast = [UInt8](repeating: 1, count: outputs * channels + 1)
            cpx_resample_line(
                line, Int32(channels), outputs, starts, steps, weights, &fast)
            let plain =
                sums.map { UInt8(min(max($0 >> Int32(CPX_FRACTION_BITS), 0), 255)) } + [1]
            #expect(fast == plain, "\(channels) channels, \(outputs) outputs, \(steps) steps")
        }
    }

    @Test func flatPicturesStayFlat() {
        for sample in [UInt8(0), 1, 127, 254, 255] {
            let image = PixelImage(
                width: 7, height: 300, mode: .grey,
                pixels: [UInt8](repeating: sample, count: 2100))
            let resized = Resampler(width: 50, height: 11).resize(
                image, columns: 0..<50, rows: 0..<11)
            #expect(resized.pixels.allSatisfy { $0 == sample })
        }
    }
}

extension PixelImage {
    fileprivate func cropped(columns: Range<Int>, rows: Range<Int>) -> PixelImage {
        let bytes = rows.flatMap { row in
            let start = row * width
            return pixels[
                (start + columns.lowerBound) * mode.channels..<(start + columns.upperBound)
                    * mode.channels]
        }
        return PixelImage(width: columns.count, height: rows.count, mode: mode, pixels: bytes)
    }
}
