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
        do {
            let settings = try Settings()
            let searcher = try Searcher(settings, modelPath: try Console.locateModel(settings))
            try await SearchSite(search: searcher).run(host: host, port: port) { address in
                Console.line("Search at \(address) (Ctrl-C to stop)")
            }
        } catch {
            Console.fail("web-app", error)
        }
    }
}
