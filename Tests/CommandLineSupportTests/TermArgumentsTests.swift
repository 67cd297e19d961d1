import CommandLineSupport
import Testing

struct TermArgumentsTests {
    private func terms(_ line: String) throws -> [TermArguments.Term] {
        try TermArguments(line.split(separator: " ").map(String.init)).terms
    }

    @Test func keepTheOrderOfTheLine() throws {
        let terms = try terms(
            "beach --weight 2 --minus people --weight=0.5 --image a.jpg --plus=sunset --minus-image b.jpg"
        )
        #expect(
            terms.map(\.source) == [
                .text("beach"), .text("people"), .picture("a.jpg"), .text("sunset"),
                .picture("b.jpg"),
            ])
        #expect(terms.map(\.weight) == [2, -0.5, 1, 1, -1])
        #expect(try self.terms("- --plus x").map(\.source) == [.line, .text("x")])
        #expect(try self.terms("-- --plus").map(\.source) == [.text("--plus")])
    }

    @Test(arguments: [
        "--weight 2", "a --weight 0", "a --weight -1", "a --weight x", "a --weight 2 --weight 3",
        "a --weight nan", "- -", "a b", "--limt 3", "--plus", "--plus --minus x",
    ])
    func refuse(line: String) {
        #expect(throws: TermArguments.Mistake.self) { _ = try terms(line) }
    }
}
