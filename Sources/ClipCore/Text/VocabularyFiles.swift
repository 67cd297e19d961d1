import FoundationEssentials

/// CLIP's vocabulary as transformers publishes it beside the weights. A model may have another one of the
/// same size, whose ids would be taken for others.
enum VocabularyFiles {
    /// - Parameter folder: of the weights. Files that are not there are not asked for: the vocabulary is
    ///   part of the program.
    /// - Throws: ``CheckpointError`` when one of them holds another vocabulary than OpenAI's.
    static func check(_ folder: String) throws(CheckpointError) {
        let readers: [(String, ([[UInt8]], UnsafeRawBufferPointer) throws -> Bool)] = [
            ("tokenizer.json", isTokenizer), ("vocab.json", isVocabulary),
            ("merges.txt", areMerges),
        ]
        var spellings: [[UInt8]] = []
        for (name, isOpenAI) in readers {
            let path = "\(folder)/\(name)"
            guard FileManager.default.fileExists(atPath: path) else { continue }
            if spellings.isEmpty { spellings = Vocabulary().spellings }
            let file = try MappedFile(path: path)
            guard (try? isOpenAI(spellings, file.bytes)) == true else {
                throw CheckpointError(
                    file: path,
                    fault:
                        "does not hold the vocabulary of OpenAI's CLIP; a CLIP model with a vocabulary of its own is not supported"
                )
            }
        }
    }

    /// `{"model": {"vocab": …, "merges": …}}`
    private static func isTokenizer(
        _ spellings: [[UInt8]], _ bytes: UnsafeRawBufferPointer
    ) throws(JSONScanner.Fault) -> Bool {
        var (vocabulary, merges): (UnsafeRawBufferPointer?, UnsafeRawBufferPointer?)
        var scanner = JSONScanner(bytes)
        try scanner.object { (name, scanner) throws(JSONScanner.Fault) in
            guard name == Array("model".utf8) else {
                try scanner.value()
                return
            }
            try scanner.object { (name, scanner) throws(JSONScanner.Fault) in
                let value = try scanner.value()
                if name == Array("vocab".utf8) { vocabulary = value }
                if name == Array("merges".utf8) { merges = value }
            }
        }
        guard let vocabulary, let merges, try isVocabulary(spellings, vocabulary) else {
            return false
        }
        // "a b" in older files, ["a", "b"] in newer ones.
        var (next, isEqual) = (Vocabulary.firstMerge, true)
        scanner = JSONScanner(merges)
        try scanner.array { (scanner) throws(JSONScanner.Fault) in
            var merge: [UInt8] = []
            if try scanner.peek() == UInt8(ascii: "\"") {
                merge = try scanner.string()
            } else {
                try scanner.array { (scanner) throws(JSONScanner.Fault) in
                    merge += try (merge.isEmpty ? [] : [UInt8(ascii: " ")]) + scanner.string()
                }
            }
            isEqual = isEqual && isMerge(next, spellings, merge[...])
            next += 1
        }
        return isEqual && next == Vocabulary.firstMerge + Vocabulary.mergeCount
    }

    /// `{"!": 0, …}`
    private static func isVocabulary(
        _ spellings: [[UInt8]], _ bytes: UnsafeRawBufferPointer
    ) throws(JSONScanner.Fault) -> Bool {
        var (count, isEqual) = (0, true)
        var scanner = JSONScanner(bytes)
        try scanner.object { (name, scanner) throws(JSONScanner.Fault) in
            let id = Int(exactly: try scanner.number())
            let isToken = id.map { spellings.indices.contains($0) && spellings[$0] == name }
            isEqual = isEqual && isToken == true
            count += 1
        }
        return isEqual && count == spellings.count
    }

    /// A line of no meaning, then a merge on each; transformers reads no more of them than CLIP has.
    private static func areMerges(_ spellings: [[UInt8]], _ bytes: UnsafeRawBufferPointer) -> Bool {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .dropFirst().prefix(Vocabulary.mergeCount)
        return lines.count == Vocabulary.mergeCount
            && zip(Vocabulary.firstMerge..., lines).allSatisfy { id, line in
                isMerge(id, spellings, line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
            }
    }

    /// Whether it is the merge that makes a token: two tokens with a space between.
    private static func isMerge(
        _ id: Int, _ spellings: [[UInt8]], _ merge: some Collection<UInt8>
    ) -> Bool {
        guard id < Vocabulary.firstMerge + Vocabulary.mergeCount else { return false }
        let (left, right) = Vocabulary.pair(of: id)
        return merge.elementsEqual(spellings[left] + [UInt8(ascii: " ")] + spellings[right])
    }
}

extension Vocabulary {
    /// Each token as these files write it, in UTF-8: a character for each byte (upstream's
    /// `bytes_to_unicode`), `</w>` at a word's end.
    package var spellings: [[UInt8]] {
        var spellings = [[UInt8]](repeating: [], count: Self.size)
        for byte in UInt8.min...UInt8.max {
            let id = Int(Self.id(of: byte))
            // The bytes that do not print come last, as U+0100 and on.
            let character = Unicode.Scalar(UInt16(id < 188 ? Int(byte) : 0x100 + id - 188))!
            spellings[id] = Array(character.utf8)
            spellings[id + Int(Self.endOfWord)] = spellings[id] + Array("</w>".utf8)
        }
        for id in Self.firstMerge..<Self.firstMerge + Self.mergeCount {
            let (left, right) = Self.pair(of: id)
            spellings[id] = spellings[left] + spellings[right]
        }
        spellings[Int(Self.startOfText)] = Array(ClipTokenizer.Markers.openAI.start.utf8)
        spellings[Int(Self.endOfText)] = Array(ClipTokenizer.Markers.openAI.end.utf8)
        return spellings
    }
}
