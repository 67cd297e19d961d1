import S3Client

/// Why the `pictures` table cannot be used, and what to do next.
public enum TableError: Error, Equatable, CustomStringConvertible {
    case noVectorExtension(server: String)
    case mayNotCreateExtension(role: String)
    case mayNotCreateSchema(role: String, schema: String)
    case mayNotUseSchema(role: String, schema: String)
    case mayNotCreateTable(role: String, schema: String)
    case extensionSchema(String, extension: String)
    case noTable
    case noTableIn(schema: String)
    case noFacts
    case upgradeFirst
    case differentTable(schema: String)
    case noUniqueKey
    case otherDimension(table: Int, asked: Int)
    case readOnlyServer
    case readOnlyDatabase
    case transactionsEndTooSoon(milliseconds: Int)
    case statementPool
    case noCitus
    case partitionsDistributed
    case nodeDown(String)
    case memoryOfNodes
    case indexThroughPool
    case mayNotRead(role: String, tables: [String])
    case mayNotWrite(role: String, schema: String)
    case needsUpgrade(role: String)
    case mayNotCreateSideTables(role: String, schema: String)
    case tableInUse
    case differentDimension(table: Int, model: Int)
    case tooManyDimensionsForIndex(dimension: Int)
    case noHalfVectors
    case noIndex
    case tooManyWithoutIndex(limit: Int)
    case otherPartitions(table: Int, asked: Int)
    case otherModel(table: ModelIdentity, given: ModelIdentity)
    case otherModelSearched(table: ModelIdentity, given: ModelIdentity)
    case otherReplacement(next: ModelIdentity, given: ModelIdentity)
    case modelReplaced
    case mayNotUseSideTables(role: String, schema: String)
    case mayNotReplace(role: String)
    case replacementHindered([String])
    case replacementThroughPool
    case rowsKeepComing(rows: Int)
    case indexAdded
    case mayNotPrune(role: String, schema: String)
    case nothingListed(rows: Int)
    case pruneWhileAdopting(rows: Int)
    case largePrune(removed: Int, rows: Int)
    case otherBucket(table: BucketIdentity, given: BucketIdentity)
    case otherEndpoint(table: BucketIdentity, given: BucketIdentity)
    case unknownKindOfStore(String)
    case otherOrientation(table: String, given: String)
    /// `--fast-decode` or `--no-fast-decode` contradicts the rule that the table's pictures are decoded by.
    case otherSpeed(isFast: Bool)
    case unknownDecoding(String)

    public var description: String {
        switch self {
        case .noVectorExtension(let server):
            "the server, PostgreSQL \(server), has no pgvector: install it there, for example the package postgresql-\(server)-pgvector, or choose a service that has it"
        case .mayNotCreateExtension(let role):
            "the role \"\(role)\" may not enable pgvector: let an administrator of the database run CREATE EXTENSION vector"
        case .mayNotCreateSchema(let role, let schema):
            "the database has no schema \(schema), and the role \"\(role)\" may not create it: let an administrator run CREATE SCHEMA \(schema) AUTHORIZATION \(sqlRole(role))"
        case .mayNotUseSchema(let role, let schema):
            "the role \"\(role)\" may not use the schema \(schema): let an administrator run GRANT USAGE ON SCHEMA \(schema) TO \(sqlRole(role))"
        case .mayNotCreateTable(let role, let schema):
            "the role \"\(role)\" may not create the table pictures: let an administrator run GRANT CREATE ON SCHEMA \(schema) TO \(sqlRole(role))"
        case .extensionSchema(let schema, let name):
            "the schema \(schema) belongs to the extension \(name), so the tables cannot be in it: let PG_SCHEMA name another one, which create-table creates"
        case .noTable:
            "the database has no table pictures: run create-table first"
        case .noTableIn(let schema):
            "the schema \(schema), which PG_SCHEMA names, has no table pictures: correct PG_SCHEMA, or run create-table first"
        case .upgradeFirst:
            "the table pictures is of an earlier version: run create-table first, which adds what is missing and changes no row"
        case .noFacts:
            "the table pictures is of an earlier version and knows neither sizes nor dates of pictures: run create-table, then process-images --refresh"
        case .differentTable(let schema):
            "\(schema).pictures belongs to another program: it is not a table with the columns filename (text) and embedding (vector with a dimension); let PG_SCHEMA name a schema for this program's tables and run create-table, which leaves the other table alone"
        case .noUniqueKey:
            "the column filename of the table pictures is not unique, so rows cannot be replaced: run ALTER TABLE pictures ADD PRIMARY KEY (filename)"
        case .otherDimension(let table, let asked):
            "the table pictures is there and holds embeddings of dimension \(table), not \(asked): drop it or let PG_SCHEMA name another schema"
        case .readOnlyServer:
            "the server is a read-only replica: let PG_SERVICE_URI name the primary"
        case .readOnlyDatabase:
            "the database is read-only (default_transaction_read_only is on), which managed services set when the disk is full: make room and let an administrator turn it off"
        case .transactionsEndTooSoon(let milliseconds):
            "the database ends transactions that pause for \(milliseconds) ms (idle_in_transaction_session_timeout), which is too soon for storing pictures: let an administrator set it to a second or more"
        case .statementPool:
            "PG_SERVICE_URI names a connection pool in statement mode, in which no transaction is possible: name one in transaction or session mode, or the server itself"
        case .noCitus:
            "the database has no Citus, which distributes tables over several servers: install it on all of them and run CREATE EXTENSION citus, or leave --distributed out"
        case .partitionsDistributed:
            "the table pictures has partitions, which --distributed does without: give each collection one of the two"
        case .nodeDown(let reason):
            "a server of the database cluster is down: \(reason)"
        case .memoryOfNodes:
            "Citus does not pass --memory and --index-workers on to its servers: set maintenance_work_mem and max_parallel_maintenance_workers there"
        case .indexThroughPool:
            "indexes are built outside of transactions, which a connection pool does not support: for create-table --index, let PG_SERVICE_URI name the server itself instead of the pool"
        case .mayNotRead(let role, let tables):
            "the role \"\(role)\" may not read \(tables.joined(separator: ", ")): let the owner run GRANT SELECT ON \(tables.joined(separator: ", ")) TO \(sqlRole(role))"
        case .mayNotWrite(let role, let schema):
            "the role \"\(role)\" may not store pictures: let the table's owner run GRANT SELECT, INSERT, UPDATE ON \(schema).pictures TO \(sqlRole(role))"
        case .needsUpgrade(let role):
            "the table pictures is of an earlier version, and the role \"\(role)\" does not own it: let its owner run create-table, which adds what is missing and changes no row"
        case .mayNotCreateSideTables(let role, let schema):
            "the role \"\(role)\" may not create the tables that this version keeps beside pictures: let an administrator run GRANT CREATE ON SCHEMA \(schema) TO \(sqlRole(role))"
        case .tableInUse:
            "the table pictures cannot be changed now, because another program uses it without a pause: try again when that is done"
        case .differentDimension(let table, let model):
            "the table pictures holds embeddings of dimension \(table), but the model makes \(model): use the model that filled the table, or create-table --dimension \(model) with another PG_SCHEMA"
        case .tooManyDimensionsForIndex(let dimension):
            "pgvector indexes embeddings of \(IndexOptions.maximumDimension) dimensions at most, and these have \(dimension): search without an index"
        case .noHalfVectors:
            "the server's pgvector is older than 0.7 and lacks halfvec, which the index needs: update it on the server, then run ALTER EXTENSION vector UPDATE; searches work without an index"
        case .tooManyWithoutIndex(let limit):
            "comparing every picture with every other one takes too long for more than \(limit) pictures without an index: run create-table --index hnsw first"
        case .noIndex:
            "the table pictures has no index to measure: run create-table --index hnsw first"
        case .otherPartitions(let table, let asked):
            "the table pictures is there and has \(table == 0 ? "no" : "\(table)") partitions, not \(asked): drop it or let PG_SCHEMA name another schema"
        case .otherModel(let table, let given) where given.wasMisread(as: table),
            .otherModelSearched(let table, let given) where given.wasMisread(as: table):
            "the embeddings in the table pictures were computed by an earlier release, which did not know that \(given.name) differs from OpenAI's models (its activation, attention heads or preprocessing), so they are wrong: run process-images --replace-model"
        case .otherModel(let table, let given):
            "the table pictures holds embeddings of the model \(table.label), but the model given is \(given.label): use the former, or process-images --replace-model, which embeds everything with the latter"
        case .otherModelSearched(let table, let given):
            "the table pictures holds embeddings of the model \(table.label), with which those of \(given.label) cannot be compared: let CLIP_MODEL name the former, and start again"
        case .otherReplacement(let next, let given):
            "the model is being replaced by \(next.label), not by \(given.label): finish that with process-images --replace-model, or give it up with create-table --cancel-replacement"
        case .modelReplaced:
            "the table pictures takes no embeddings of this model any more, because its model was replaced or the replacement was given up while this ran: see create-table --status"
        case .mayNotUseSideTables(let role, let schema):
            "the role \"\(role)\" may not use the tables beside pictures: let the table's owner run GRANT SELECT, INSERT, UPDATE, DELETE ON \(Migrations.sideTables.map { "\(schema).\($0)" }.joined(separator: ", ")) TO \(sqlRole(role))"
        case .replacementHindered(let items):
            "--replace-model drops the columns of the former model, but these use them: \(items.joined(separator: ", ")); remove them first, and create them again when the model is replaced"
        case .replacementThroughPool:
            "the table pictures has an index, which is built for the new model outside of transactions, and a connection pool does not support that: let PG_SERVICE_URI name the server itself, or drop the index first (create-table --index none)"
        case .rowsKeepComing(let rows):
            "other programs keep storing pictures faster than the new model embeds them (\(rows) rows are missing): run process-images --replace-model again when they pause"
        case .indexAdded:
            "an index was created on the table pictures just before its model was replaced: run process-images --replace-model again"
        case .mayNotReplace(let role):
            "the role \"\(role)\" does not own the table pictures: let its owner run process-images --replace-model"
        case .mayNotPrune(let role, let schema):
            "the role \"\(role)\" may not remove rows: let the table's owner run GRANT DELETE ON \(schema).pictures TO \(sqlRole(role))"
        case .nothingListed(let rows):
            "the bucket lists no object at all, so --prune would remove \(rows) rows: check S3_BUCKET_NAME, or say --force if that is meant"
        case .pruneWhileAdopting(let rows):
            "this run is the first that records which bucket the table belongs to, and --prune would remove \(rows) rows: check S3_BUCKET_NAME, then run it again or say --force"
        case .largePrune(let removed, let rows):
            "--prune would remove \(removed) of \(rows) rows, more than a fifth: check the bucket, or say --force if that is meant"
        case .otherBucket(let table, let given):
            "the table pictures belongs to the bucket \(table), but the settings name the bucket \(given): correct the folder or S3_BUCKET_NAME and S3_ENDPOINT, or let PG_SCHEMA name another schema"
        case .otherEndpoint(let table, let given):
            "the table pictures belongs to the bucket \(table), but the settings name the bucket \(given): if both are the same bucket, run process-images --add-endpoint once"
        case .otherOrientation(let table, let given):
            "the table's pictures are embedded with CLIP_ORIENTATION=\(table), but the settings say \(given): correct the settings, or run process-images --refresh, which embeds the pictures concerned again"
        case .otherSpeed(let isFast):
            isFast
                ? "the table's pictures are decoded with --fast-decode: leave out --no-fast-decode, or add --refresh, which embeds the pictures concerned again"
                : "the table's pictures are decoded exactly: leave out --fast-decode, or add --refresh, which embeds the pictures concerned again"
        case .unknownDecoding(let rule):
            "the table's pictures are decoded by a rule that this version does not know, \(quoted(rule)): use the version that wrote it"
        case .unknownKindOfStore(let kind):
            "the table pictures belongs to a kind of store that this version does not know, \(quoted(kind)): use the version that wrote it"
        }
    }
}

/// A role's name in a statement that a person is to run.
private func sqlRole(_ role: String) -> String {
    let isPlain = role.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "_") }
    return isPlain && role.first?.isNumber == false ? role : quotedName(role)
}
