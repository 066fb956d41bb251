import OCI
import Synchronization

/// The layers that caches have lent to a build, and those of them that could not be had when they were needed.
///
/// A step is taken from a cache before its bytes are looked at. If they are gone then, or are not what they should be, the layer is
/// lost: its step counts as never done, and the build goes through its steps once more.
final class CachedLayers: Sendable {
    private struct State {
        var lent: Set<Digest> = []
        var lost: Set<Digest> = []
    }

    private let state = Mutex(State())

    func lend(_ digest: Digest) {
        _ = state.withLock { $0.lent.insert(digest) }
    }

    /// - Returns: whether the blob is that of a layer from a cache.
    func lose(_ digest: Digest) -> Bool {
        state.withLock { state in
            guard state.lent.contains(digest) else { return false }
            state.lost.insert(digest)
            return true
        }
    }

    func isLost(_ digest: Digest) -> Bool {
        state.withLock { $0.lost.contains(digest) }
    }

    /// How many were lost so far.
    var losses: Int { state.withLock { $0.lost.count } }
}
