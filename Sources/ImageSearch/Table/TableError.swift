/// Why the `pictures` table cannot be used, and what to do next.
public enum TableError: Error, Equatable, CustomStringConvertible {
    case noVectorExtension(server: String)
    case mayNotCreateExtension(role: String)
    case mayNotCreateTable(role: String)
    case noTable
    case differentTable
    case differentDimension(table: Int, model: Int)

    public var description: String {
        switch self {
        case .noVectorExtension(let server):
            "the server, PostgreSQL \(server), has no pgvector: install it there, for example the package postgresql-\(server)-pgvector, or choose a service that has it"
        case .mayNotCreateExtension(let role):
            "the role \"\(role)\" may not enable pgvector: let an administrator of the database run CREATE EXTENSION vector"
        case .mayNotCreateTable(let role):
            "the role \"\(role)\" may not create the table pictures: let an administrator run GRANT CREATE ON SCHEMA public TO \"\(role)\""
        case .noTable:
            "the database has no table pictures: run create-table first"
        case .differentTable:
            "the database has a table pictures of another shape: it needs the columns filename (text) and embedding (vector with a dimension); rename that table and run create-table"
        case .differentDimension(let table, let model):
            "the table pictures holds embeddings of dimension \(table), but the model makes \(model): use the model that filled the table, or create-table --dimension \(model) in another database"
        }
    }
}
