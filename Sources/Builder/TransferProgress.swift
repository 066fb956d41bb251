import OCI
import Synchronization

/// Tells how far a blob is on its way that takes long: a slow network and a builder that hangs look the same in a log that is silent.
final class TransferProgress: Sendable {
    private let descriptor: Descriptor
    private let way: BuildEvent.Way
    private let report: EventSink
    private let now: @Sendable () -> ContinuousClock.Instant
    private let lastTold: Mutex<ContinuousClock.Instant>

    /// Blobs that are there sooner are not mentioned, and others as often.
    static let interval = Duration.seconds(10)

    init(
        of descriptor: Descriptor, _ way: BuildEvent.Way,
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }, report: @escaping EventSink
    ) {
        self.descriptor = descriptor
        self.way = way
        self.report = report
        self.now = now
        lastTold = Mutex(now())
    }

    /// Takes note of how many bytes have arrived. Called often, by the thread that moves them.
    func note(_ bytes: Int64) {
        let now = now()
        let isDue = lastTold.withLock { last in
            guard now - last >= TransferProgress.interval else { return false }
            last = now
            return true
        }
        if isDue { report(.transferring(descriptor, bytes: bytes, way)) }
    }
}
