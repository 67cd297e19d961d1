/// The list of all migrations.
///
/// Each number is applied if `picture_schema` does not have it, so branches may add numbers in any
/// order: 1 to 19 belong to the ingest, 20 to 39 to searching.
enum Migrations {
    static let all: [Migration] = [
        pictureModels,  // 1
        objectColumns,  // 2
        claims,  // 3
        refusals,  // 4
        storage,  // 20
    ]
}
