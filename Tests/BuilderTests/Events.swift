import Synchronization

@testable import Builder

/// What a build told, for tests that ask afterwards.
final class Events: Sendable {
    private let told = Mutex<[String]>([])

    func add(_ event: BuildEvent) {
        told.withLock { $0.append("\(event)") }
    }

    var text: String { told.withLock { $0.joined(separator: "\n") } }
}
