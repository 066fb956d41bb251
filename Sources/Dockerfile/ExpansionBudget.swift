import Synchronization

/// What all expansions of one Dockerfile may cost together.
///
/// Each word is bounded by itself (`WordExpansion.Limits`), and a Dockerfile may hold hundred thousands of them. Shared by the
/// scopes of all stages.
package final class ExpansionBudget: Sendable {
    /// Bytes of words and values, and comparisons of a character with a token of a pattern: about a quarter of a second.
    /// A Dockerfile of 10,000 lines that all use a PATH of a thousand bytes takes a third of it.
    package static let maximum = 1 << 25

    private let spent = Atomic(0)

    package init() {}

    /// - Throws: if it is spent.
    func spend(_ work: Int) throws(ExpansionFault) {
        guard spent.wrappingAdd(work, ordering: .relaxed).newValue <= Self.maximum else {
            throw ExpansionFault(message: "replacing all variables of the Dockerfile takes too long")
        }
    }
}
