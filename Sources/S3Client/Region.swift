import Bytes

/// Which region a request is signed for.
package enum Region {
    package static let fallback = "us-east-1"

    /// A region ends up in host names and in signatures: letters, digits and hyphens.
    package static func isValid(_ region: String) -> Bool {
        (1...63).contains(region.utf8.count)
            && region.utf8.allSatisfy { PercentEncoding.isUnreserved($0) }
            && region.utf8.allSatisfy { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "~") }
    }

    /// The region that an endpoint's host name tells; nil where it tells none.
    ///
    /// - AWS ("Amazon S3 endpoints and quotas", AWS General Reference):
    ///   `s3.REGION.amazonaws.com`, `s3-REGION.…`, `s3.dualstack.REGION.…`, `s3-fips.REGION.…`,
    ///   each also below a bucket's name, in China under `amazonaws.com.cn`.
    /// - Cloudflare R2: always `auto`.
    /// - OVHcloud, Scaleway, Wasabi, Backblaze and others: `s3.REGION.DOMAIN.TLD`.
    /// - DigitalOcean `REGION.digitaloceanspaces.com`, Linode `REGION.linodeobjects.com`,
    ///   Vultr `REGION.vultrobjects.com`: each also below a bucket's name.
    package static func derived(fromHost host: String) -> String? {
        let labels = lowercasedASCII(host).split(separator: ".").map(String.init)
        let rest = labels.dropLast(2)
        switch labels.suffix(2).joined(separator: ".") {
        case "amazonaws.com", "amazonaws.eu": return amazon(rest)
        case "com.cn" where rest.last == "amazonaws": return amazon(rest.dropLast())
        case "cloudflarestorage.com" where !rest.isEmpty: return "auto"
        case "googleapis.com" where rest.last == "storage": return "auto"
        case "digitaloceanspaces.com", "linodeobjects.com", "vultrobjects.com":
            return rest.last.flatMap(plausible)
        default: break
        }
        // s3.REGION.DOMAIN.TLD, also BUCKET.s3.REGION.DOMAIN.TLD. Without a label between "s3" and
        // a domain of two there is no region (s3.example.com).
        guard let s3 = labels.firstIndex(of: "s3"), labels.count - s3 >= 4 else {
            return nil
        }
        return plausible(labels[s3 + 1])
    }

    /// `labels` is what comes before `amazonaws.com`.
    private static func amazon(_ labels: ArraySlice<String>) -> String? {
        guard let last = labels.last else { return nil }
        if last == "s3" || last == "s3-external-1" { return fallback }
        if last == "s3-accelerate" { return nil }
        if last.hasPrefix("s3-") { return plausible(String(last.dropFirst(3))) }
        guard labels.dropLast().contains(where: { $0 == "s3" || $0.hasPrefix("s3-") }),
            last != "dualstack"
        else { return nil }
        return plausible(last)
    }

    /// The region of a redirect's address, which is followed within AWS only.
    static func derived(fromAmazonURL url: String) -> String? {
        guard let endpoint = try? Endpoint(String(url.prefix { $0 != "?" })),
            isAmazonHost(endpoint.host)
        else { return nil }
        return derived(fromHost: endpoint.host)
    }

    private static func plausible(_ label: String) -> String? { isValid(label) ? label : nil }

    /// AWS's own endpoint for a region (botocore's partition table).
    package static func amazonHost(for region: String) -> String {
        let domain = amazonDomains.first(where: { region.hasPrefix($0.prefix) })!.domain
        return "s3.\(region).\(domain)"
    }

    package static func isAmazonHost(_ host: String) -> Bool {
        amazonDomains.contains { host.hasSuffix("." + $0.domain) }
    }

    private static let amazonDomains: [(prefix: String, domain: String)] = [
        ("cn-", "amazonaws.com.cn"), ("eusc-", "amazonaws.eu"),
        ("us-iso-", "c2s.ic.gov"), ("us-isob-", "sc2s.sgov.gov"), ("", "amazonaws.com"),
    ]
}
