import Synchronization
import TestSupport
import Testing

@testable import Builder

/// What a build told, for tests that ask afterwards.
final class Events: Sendable {
    private let told = Mutex<[String]>([])

    func add(_ event: BuildEvent) {
        let text = "\(event)"
        if let secret = Secrecy.leak(in: text) { Issue.record("a secret is in an event, '\(secret)': \(text)") }
        told.withLock { $0.append(text) }
    }

    var text: String { told.withLock { $0.joined(separator: "\n") } }
}
