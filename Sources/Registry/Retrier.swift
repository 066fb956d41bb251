import Synchronization

/// Tries again, for all operations on one registry: when the registry asks one of them to wait, all wait.
final class Retrier: Sendable {
    let policy: RetryPolicy
    let pacing: Pacing
    private let pausedUntil = Mutex<ContinuousClock.Instant?>(nil)

    init(policy: RetryPolicy, pacing: Pacing) {
        self.policy = policy
        self.pacing = pacing
    }

    /// Runs `operation` until it succeeds, fails for good, or patience ends.
    ///
    /// - Parameter operation: given the number of the try, from 1.
    func run<Value: Sendable>(
        _ operation: (Int) async throws(RegistryError) -> Value
    ) async throws(RegistryError) -> Value {
        let start = pacing.now()
        var attempt = 1
        while true {
            try await waitForPause()
            do throws(RegistryError) {
                return try await operation(attempt)
            } catch {
                try await recover(from: error, attempt: attempt, since: start)
                attempt += 1
            }
        }
    }

    /// Waits before the next try, or throws `error` when there shall be none.
    func recover(
        from error: RegistryError, attempt: Int, since start: ContinuousClock.Instant
    ) async throws(RegistryError) {
        let decision = policy.decision(
            after: error, attempt: attempt, elapsed: pacing.now() - start, random: pacing.random())
        switch decision {
        case .stop(nil): throw error
        case .stop(let reason?): throw error.with(message: "\(error.message) (\(reason))", isTemporary: false)
        case .wait(let delay):
            if let asked = error.retryAfter {
                let end = pacing.now() + asked
                pausedUntil.withLock { $0 = max($0 ?? end, end) }
            }
            try await sleep(delay)
        }
    }

    private func waitForPause() async throws(RegistryError) {
        let now = pacing.now()
        guard let end = pausedUntil.withLock({ $0 }), end > now else { return }
        try await sleep(end - now)
    }

    private func sleep(_ delay: Duration) async throws(RegistryError) {
        do {
            try await pacing.sleep(delay)
        } catch {
            throw .cancelled()
        }
    }
}
