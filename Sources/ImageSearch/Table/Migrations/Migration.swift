import PGClient

/// One numbered change of the database, so that a table that was made by an earlier version, or by
/// the Python demo, becomes one that this version's tools expect.
///
/// The rules: a number is never used twice and its change never edited once it was released; the
/// change can be repeated without harm (`IF NOT EXISTS`); to `pictures` it only adds columns that may
/// be left out of an INSERT, so that the demo's statements keep working; and no picture needs to be
/// embedded again for it. A migration has a file of its own; ``Migrations/all`` lists them.
struct Migration: Sendable {
    let number: Int
    /// Runs with the schema of `pictures` first on the search path, in the transaction of all
    /// migrations, under the lock that ``PicturesTable/create(dimension:)`` takes.
    let apply: @Sendable (PGConnection) throws -> Void

    init(_ number: Int, apply: @escaping @Sendable (PGConnection) throws -> Void) {
        self.number = number
        self.apply = apply
    }

    /// A change that is nothing but statements, separated by `;`.
    init(_ number: Int, sql: String) {
        self.init(number) { try $0.executeScript(sql) }
    }
}
