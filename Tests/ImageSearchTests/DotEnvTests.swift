import ImageSearch
import Testing

/// Against python-dotenv's own answers; see Fixtures/make_dotenv_golden.py.
@Suite struct DotEnvTests {
    struct Golden: Decodable {
        struct Case: Decodable {
            let text: String
            let values: [String: String]
        }
        let environment: [String: String]
        let cases: [Case]
    }

    @Test func readsAsPythonDotenvReads() throws {
        let golden = try Fixtures.json("dotenv-golden.json", as: Golden.self)
        #expect(golden.cases.count > 1_000)
        for example in golden.cases {
            let values = DotEnv.parse(example.text, environment: golden.environment)
            #expect(values == example.values, "\(example.text.debugDescription)")
        }
    }
}
