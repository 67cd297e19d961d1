import ArgumentParser
import ImageSearch
import SearchSite

@main
struct WebApp: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "web-app",
        abstract: "Search the pictures in a browser.",
        discussion: """
            Reads the bucket's and the database's settings from the environment or from .env; see \
            .env_example. Ctrl-C ends it, after requests under way are answered.
            """)

    @Option(help: "Address to listen on; 0.0.0.0 opens the page to the network.")
    var host = "127.0.0.1"

    @Option(help: "Port to listen on; 0 takes a free one.")
    var port = 8000

    func validate() throws {
        guard (0...65_535).contains(port) else {
            throw ValidationError("--port must be 0 to 65535.")
        }
    }

    func run() async {
        await Console.run("web-app") {
            let settings = try Settings()
            let searcher = try Searcher(settings, modelPath: try Console.locateModel(settings))
            let site = SearchSite(
                search: searcher,
                showsReasons: ["127.0.0.1", "::1", "localhost"].contains(host))
            try await site.run(host: host, port: port) { address in
                Console.line("Search at \(address) (Ctrl-C to stop)")
            }
            return 0
        }
    }
}
