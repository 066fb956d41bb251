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

    init() {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        // Blocked in every thread, so that the one below alone takes them. Children get a clean mask from the spawner.
        pthread_sigmask(SIG_BLOCK, &set, nil)
        BlockingPool.detach { [self, set] in
            var set = set
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
