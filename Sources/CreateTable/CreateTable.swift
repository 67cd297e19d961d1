import ArgumentParser
import ImageSearch

@main
struct CreateTable: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create-table",
        abstract: "Enable pgvector in PostgreSQL and create the table of pictures.",
        discussion: """
            Reads PG_SERVICE_URI from the environment or from .env; see .env_example. A table of an \
            earlier version or of the Python demo gets the columns that it lacks; its rows stay as \
            they are. Running it again changes nothing.
            """)

    @Option(
        help: "Length of the model's embeddings: 512 for ViT-B/32 and B/16, 768 for ViT-L/14.")
    var dimension = PicturesTable.defaultDimension

    func validate() throws {
        guard (1...PicturesTable.maximumDimension).contains(dimension) else {
            throw ValidationError("--dimension must be 1 to \(PicturesTable.maximumDimension).")
        }
    }

    func run() {
        Console.run("create-table") {
            let uri = try Settings().databaseURI()
            let table = try PicturesTable(uri: uri, applicationName: "create-table")
            let creation = try table.create(dimension: dimension)
            let extensionName = "pgvector \(creation.extensionVersion)"
            Console.line(
                creation.createdExtension
                    ? "\(extensionName) was enabled." : "\(extensionName) was enabled already.")
            let tableName = "The table pictures (embeddings of dimension \(creation.dimension))"
            Console.line(
                creation.createdTable
                    ? "\(tableName) was created."
                    : creation.upgradedTable
                        ? "\(tableName) was there already, and was brought up to this version."
                        : "\(tableName) was there already.")
            return 0
        }
    }
}
