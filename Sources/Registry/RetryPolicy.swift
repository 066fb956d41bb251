/// How often and how patiently an operation is tried again.
package struct RetryPolicy: Sendable {
    /// Tries of one operation, the first included.
    package var attempts = 6
    /// Upper bound of the first wait; it doubles with each try.
    package var baseDelay = Duration.milliseconds(500)
    package var longestDelay = Duration.seconds(20)
    /// A server that asks for a longer wait is told to the user instead.
    package var longestRetryAfter = Duration.seconds(60)
    /// No new try starts after this much time.
    package var budget = Duration.seconds(300)

    package init() {}

    package static let standard = RetryPolicy()

    /// Statuses that go away by themselves: overload, gateways in front of a registry that restarts, and
    /// 499/522 as nginx and Cloudflare use them.
    package static func isTemporary(status: Int) -> Bool {
        [408, 425, 429, 499, 500, 502, 503, 504, 522].contains(status)
    }

    /// What to do after a failed try.
    package enum Decision: Sendable, Equatable {
        case wait(Duration)
        /// No further try, for this reason if it is not plain.
        case stop(String?)
    }

    /// Decides about another try.
    ///
    /// - Parameters:
    ///   - attempt: the number of the try that failed, from 1.
    ///   - elapsed: time since the first try began.
    ///   - random: a number in 0...1; full jitter keeps many builders from knocking at the same instant.
    package func decision(
        after error: RegistryError, attempt: Int, elapsed: Duration, random: Double
    ) -> Decision {
        guard error.isTemporary else { return .stop(nil) }
        guard attempt < attempts else { return .stop("gave up after \(tries(attempt))") }
        if let asked = error.retryAfter, asked > longestRetryAfter {
            return .stop("the server asks to wait \(asked.components.seconds) s, which is too long")
        }
        // 2^16 times the base is beyond any cap; a larger exponent would only overflow.
        let ceiling = min(longestDelay, baseDelay * (1 << min(attempt - 1, 16)))
        let jittered = ceiling * random
        // Jitter on top of what was asked for, so that the paused workers do not all return together.
        let delay = error.retryAfter.map { $0 + min(jittered, .milliseconds(500)) } ?? jittered
        guard elapsed + delay < budget else {
            return .stop("gave up after \(tries(attempt)) in \(elapsed.components.seconds) s")
        }
        return .wait(delay)
    }

    private func tries(_ count: Int) -> String { count == 1 ? "1 try" : "\(count) tries" }
}

/// Time and chance, as parameters of whatever waits.
package struct Pacing: Sendable {
    package var now: @Sendable () -> ContinuousClock.Instant
    /// Waits, or throws when the task is cancelled.
    package var sleep: @Sendable (Duration) async throws -> Void
    /// A number in 0...1.
    package var random: @Sendable () -> Double

    package init(
        now: @escaping @Sendable () -> ContinuousClock.Instant,
        sleep: @escaping @Sendable (Duration) async throws -> Void, random: @escaping @Sendable () -> Double
    ) {
        self.now = now
        self.sleep = sleep
        self.random = random
    }

    package static let real = Pacing(
        now: { ContinuousClock.now }, sleep: { try await Task.sleep(for: $0) }, random: { Double.random(in: 0...1) })
}
