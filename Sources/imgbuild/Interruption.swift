import Glibc
import Synchronization
import SystemIO

/// SIGINT and SIGTERM: the build is told to stop, cleans up, and the process ends with 130 or 143.
///
/// A second signal ends the process at once; the next build removes what is left.
final class Interruption: Sendable {
    let cancellation = Cancellation()
    private let signal = Mutex<Int32?>(nil)
    private let action = Mutex<(@Sendable () -> Void)?>(nil)

    /// Both signals.
    private static var set: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        return set
    }

    /// Blocks the signals in this thread and in all that it starts, so that the one of `init` alone takes them.
    ///
    /// To be called while there is no other thread: one that does not block them would be given them, and would end the process
    /// before anything is cleaned up. Children get a clean mask from the spawner.
    static func blockSignals() {
        var set = Self.set
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// `blockSignals()` was called before.
    init() {
        BlockingPool.detach { [self] in
            var set = Self.set
            while true {
                var number: Int32 = 0
                guard sigwait(&set, &number) == 0 else { continue }
                let isFirst = signal.withLock { signal in
                    defer { signal = signal ?? number }
                    return signal == nil
                }
                guard isFirst else { _exit(128 + number) }
                cancellation.cancel()
                action.withLock { $0 }?()
            }
        }
    }

    /// Also calls `body` when a signal comes, or at once if one came already.
    func whenInterrupted(_ body: @escaping @Sendable () -> Void) {
        action.withLock { $0 = body }
        if cancellation.isCancelled { body() }
    }

    /// 128 and the number of the signal that came, if one did.
    var exitCode: Int32? {
        signal.withLock { $0.map { 128 + $0 } }
    }
}
