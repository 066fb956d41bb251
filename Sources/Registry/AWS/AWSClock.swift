import Synchronization
import SystemIO

/// The time as AWS has it.
///
/// A signature that is more than five minutes old or ahead is refused, and not every machine knows what time it is: a server's
/// `Date` says how wrong this one's clock is.
final class AWSClock: Sendable {
    private let wall: @Sendable () -> Timestamp
    private let corrects: Bool
    /// What has to be added to this machine's time (seconds).
    private let offset = Mutex<Int64>(0)

    /// AWS's own tolerance (seconds). https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
    private static let tolerance: Int64 = 300

    /// - Parameter corrects: whether servers' clocks are believed more than this machine's.
    init(wall: @escaping @Sendable () -> Timestamp = { .now }, corrects: Bool) {
        self.wall = wall
        self.corrects = corrects
    }

    var now: Timestamp { Timestamp(seconds: wall().seconds + offset.withLock { $0 }) }

    /// How wrong this machine's clock is taken to be (seconds).
    var correction: Int64 { offset.withLock { $0 } }

    /// Takes over a server's time when ours is too far from it.
    func learn(from head: HTTPHead) {
        guard corrects, let theirs = head["Date"].flatMap(HTTPDate.parse) else { return }
        guard abs(theirs.seconds - now.seconds) > AWSClock.tolerance else { return }
        let ours = wall().seconds
        offset.withLock { $0 = theirs.seconds - ours }
    }

    /// How long it is until `end` (seconds, negative if it has passed).
    func seconds(until end: Timestamp) -> Int64 {
        // A server may name any time; a century is beyond all of this.
        min(max(end.seconds - now.seconds, -3_200_000_000), 3_200_000_000)
    }
}
