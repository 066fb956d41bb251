import Synchronization

/// A flag that blocking code looks at between two pieces of work.
///
/// It is set once, by a signal or a failure elsewhere, and never cleared.
package final class Cancellation: Sendable {
    private let flag = Atomic<Bool>(false)

    package init() {}

    package var isCancelled: Bool { flag.load(ordering: .acquiring) }

    package func cancel() {
        flag.store(true, ordering: .releasing)
    }
}
