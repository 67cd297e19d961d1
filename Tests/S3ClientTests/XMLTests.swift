import Foundation
import S3Client
import Testing

@Suite struct XMLReaderTests {
    struct Entry: Decodable {
        let document: [UInt8]
        let events: [[String]]?

        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            document = Array(try list.decode(Data.self))
            events = try list.decodeIfPresent([[String]].self)
        }
    }

    private func read(_ document: [UInt8]) -> [[String]]? {
        try? XMLReader.read(document).map { [$0.path.joined(separator: "/"), $0.text] }
    }

    /// Fixtures/make_expat_verdicts.py: valid documents and broken ones, as Expat sees them.
    @Test func agreesWithExpat() throws {
        let entries = try fixture("expat-verdicts.json", as: [Entry].self)
        #expect(entries.count == 1_500)
        for entry in entries {
            let events = read(entry.document)
            let same =
                switch (events, entry.events) {
                case (nil, nil): true
                case (let ours?, let theirs?):
                    ours.count == theirs.count
                        && zip(ours, theirs).allSatisfy {
                            sameBytes($0[0], $1[0]) && sameBytes($0[1], $1[1])
                        }
                default: false
                }
            #expect(same, "\(String(decoding: entry.document, as: UTF8.self).debugDescription)")
        }
    }

    @Test(arguments: [
        // Entities that grow (the "billion laughs"), outer entities, a type declaration alone.
        "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;\">]><a>&c;</a>",
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
        "<!DOCTYPE a><a/>",
        "<a>&nbsp;</a>",
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>",
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>é</a>",
    ])
    func refuses(_ document: String) {
        #expect(throws: XMLReader.Fault.self) {
            try XMLReader.read(Array(document.utf8))
        }
    }

    @Test(
        arguments: [
            [0xFE, 0xFF, 0x00, 0x3C, 0x00, 0x61, 0x00, 0x2F, 0x00, 0x3E],  // UTF-16, <a/>
            [0xFF, 0xFE, 0x3C, 0x00, 0x61, 0x00, 0x2F, 0x00, 0x3E, 0x00],
            [0x3C, 0x61, 0x3E, 0xC3, 0x3C, 0x2F, 0x61, 0x3E],  // Half of an é.
        ] as [[UInt8]])
    func refusesOtherEncodings(_ document: [UInt8]) {
        #expect(read(document) == nil)
    }

    @Test func boundsDepth() {
        func nested(_ depth: Int) -> [UInt8] {
            Array(
                (String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth))
                    .utf8)
        }
        #expect(read(nested(32)) != nil)
        #expect(read(nested(33)) == nil)
        #expect(read(Array(String(repeating: "<a>", count: 1_000_000).utf8)) == nil)
    }

    /// XML 1.0 has no control characters, not even by number; a listing's keys are percent-encoded.
    @Test func refusesControlCharactersByNumber() {
        #expect(read(Array("<a>x&#x1;</a>".utf8)) == nil)
        #expect(read(Array("<a>&#0;</a>".utf8)) == nil)
    }

    /// One byte after another is cut off: never half a document.
    @Test func refusesTruncatedDocuments() {
        let document = Array("<?xml version='1.0'?><a><b c='d'>e&amp;</b><!-- f --></a>".utf8)
        #expect(read(document) == [["a/b", "e&"], ["a", ""]])
        for count in 0..<document.count { #expect(read(Array(document[..<count])) == nil) }
    }
}

@Suite struct ListPageTests {
    private func page(_ text: String) throws -> ListPage { try ListPage(parsing: Array(text.utf8)) }

    @Test func readsPage() throws {
        let page = try page(
            """
            <?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Contents><Key>a+b%2Bc%20%E5%86%99%zz</Key><Size>0</Size><ETag>"x"</ETag>
            <Owner><ID>Key</ID></Owner></Contents>
            <Contents><Key>d</Key><Size>9223372036854775807</Size></Contents>
            <CommonPrefixes><Prefix>e/</Prefix></CommonPrefixes>
            <IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>
            <NextContinuationToken>t&amp;+</NextContinuationToken>
            </ListBucketResult>
            """)
        #expect(page.objects.map(\.key) == ["a b+c 写%zz", "d"])
        #expect(page.objects.map(\.size) == [0, .max])
        #expect(page.objects.map(\.etag) == ["x", nil])
        #expect(page.continuationToken == "t&+")
    }

    @Test func keysAreLiteralUnlessToldOtherwise() throws {
        let page = try page(
            "<ListBucketResult><Contents><Key>a+b%2B</Key><Size>1</Size></Contents>"
                + "<IsTruncated>false</IsTruncated></ListBucketResult>")
        #expect(page.objects.map(\.key) == ["a+b%2B"])
        #expect(page.continuationToken == nil)
    }

    @Test(arguments: [
        "", "{}", "<html/>", "<ListBucketResult>",
        "<Error><Code>X</Code></Error>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>9223372036854775808</Size></Contents>"
            + "</ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%FF</Key><Size>1</Size>"
            + "</Contents></ListBucketResult>",
    ])
    func refuses(_ text: String) {
        #expect(throws: (any Error).self) { try page(text) }
    }
}
