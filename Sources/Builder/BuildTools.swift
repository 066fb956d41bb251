import Layers
import OCI
import Sandbox
import SystemIO

/// What the steps of one build share: the store, the threads, the sandbox, the registries.
struct BuildTools: Sendable {
    let scratch: Scratch
    let store: BlobStore
    let trees: TreeStore
    /// Whether overlayfs keeps its marks in `user.overlay.*` here.
    let usesUserAttributes: Bool
    let maker: LayerMaker
    let blobs: BlobFetcher
    let indices: LayerIndices
    let remotes: RemoteSources
    let sandbox: Sandbox
    let caches: CacheMounts
    let carrier: MountCarrier
    let contexts: RootOwnedTrees
    let secrets: BuildSecrets
    let pool: BlockingPool
    let cancellation: Cancellation
    let report: EventSink
    let slots: StepSlots
    /// The stage that commands are run for, where several are at work.
    var stage: String?
    let unpackings = SingleFlight<Digest, Void>(keeps: false)

    /// Makes sure that the blobs of these layers are in the store and unpacked as trees; several at a time.
    func unpack(_ layers: [StoredLayer]) async throws {
        var missing: [StoredLayer] = []
        for stored in layers where !trees.contains(stored.layer.diffID) && !missing.contains(stored) {
            missing.append(stored)
        }
        try await missing.forEachConcurrently(width: BuildTools.unpackWidth) { [self] stored in
            // Also what could not be unpacked on its way: the blob is here now, and says why not.
            try await blobs.fetch(stored) { [trees] blob in
                try? await BlockingPool.runAside { () throws(any Error) in try trees.unpack(stored.layer, from: blob) }
            }
            try await unpackings.value(of: stored.layer.diffID) {
                guard !trees.contains(stored.layer.diffID) else { return }
                do { try await pool.run { try trees.unpack(stored.layer) } } catch {
                    if error.isDamage { blobs.giveUp(stored, error) }
                    throw error
                }
            }
        }
    }

    /// Layers that are fetched and unpacked at the same time: enough to keep two cores and a line busy.
    static let unpackWidth = 4

    func checkCancelled() throws {
        if cancellation.isCancelled { throw BuildError("the build was interrupted") }
    }
}

extension Sequence where Element: Sendable {
    /// Calls `body` for every element, at most `width` at a time. The first failure cancels the rest and is thrown.
    func forEachConcurrently(
        width: Int, _ body: @escaping @Sendable (Element) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var running = 0
            for element in self {
                if running == width {
                    try await group.next()
                    running -= 1
                }
                group.addTask { try await body(element) }
                running += 1
            }
            try await group.waitForAll()
        }
    }
}

extension Error {
    /// Whether a layer itself is at fault, and not the machine.
    var isDamage: Bool {
        switch self as? LayerError {
        case .invalid?, .digestMismatch?: true
        case .system?, .cancelled?, nil: false
        }
    }
}
