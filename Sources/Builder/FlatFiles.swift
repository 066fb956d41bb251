import Layers
import OCI
import Sandbox
import Synchronization
import SystemIO
import SystemPackage

/// A stage's files as one flat tree, for places where nothing can be mounted; what a RUN changed is found by comparing.
final class FlatFiles: StageFiles {
    private let tools: BuildTools
    /// Whether a RUN will need the tree anyway.
    private let unpacks: Bool
    private let state: Mutex<State>

    private struct State {
        var root: Directory?
        /// The layers that are laid into the tree, lowest first.
        var applied: [Digest] = []
        /// The tree as the last RUN left it; `nil` when more was laid into it since.
        var snapshot: TreeSnapshot?
        /// Which entries its files are.
        var origins = FileOrigins()
    }

    init(_ tools: BuildTools, unpacks: Bool) {
        self.tools = tools
        self.unpacks = unpacks
        state = Mutex(State())
    }

    func names(of layers: [StoredLayer]) async throws -> UnionTree {
        let applied = state.withLock { $0.applied.count }
        if applied == 0, !unpacks || tools.indices.areKnown(layers) { return try await tools.indices.view(of: layers) }
        // What was written last need not be laid out to be looked at.
        let written = layers.dropFirst(applied).reversed().prefix { tools.indices.isRemembered($0.layer) }.count
        let root = try await lay(Array(layers.dropLast(written)))
        return UnionTree(layers: try tools.indices.entries(of: layers.suffix(written)) + [.plain(root)])
    }

    func contents(of layers: [StoredLayer]) async throws -> UnionTree {
        UnionTree(layers: [.plain(try await lay(layers))])
    }

    /// Lays the layers that are missing into the tree, in order.
    private func lay(_ layers: [StoredLayer]) async throws -> Directory {
        let (root, applied) = try state.withLock { state throws(any Error) -> (Directory, [Digest]) in
            let root = try state.root ?? Self.makeRoot(in: tools.scratch)
            state.root = root
            return (root, state.applied)
        }
        guard layers.map(\.layer.diffID).starts(with: applied) else {
            throw BuildError("[internal error] a stage's tree holds layers that the stage does not have")
        }
        let missing = Array(layers.dropFirst(applied.count))
        if !missing.isEmpty { state.withLock { $0.snapshot = nil } }
        try await missing.forEachConcurrently(width: BuildTools.unpackWidth) { [tools] in
            try await tools.blobs.fetch($0)
        }
        for stored in missing {
            do {
                let tree = try await tools.pool.run { [tools] () throws(any Error) in
                    try Self.unpack(stored.layer, into: root, tools)
                }
                state.withLock { state in
                    state.origins.add(tree, layer: state.applied.count)
                    state.applied.append(stored.layer.diffID)
                }
            } catch {
                if error.isDamage { tools.blobs.giveUp(stored, error) }
                throw error
            }
        }
        return root
    }

    private static func makeRoot(in scratch: Scratch) throws(SystemError) -> Directory {
        try scratch.makeFolder("flat").makeRoot("root")
    }

    private static func unpack(_ layer: Layer, into root: Directory, _ tools: BuildTools) throws -> UnpackedTree {
        try LayerUnpacker.unpack(
            blob: try tools.store.open(layer.descriptor), compression: try layer.compression(), expecting: layer.diffID,
            name: layer.descriptor.digest.description, into: root, convention: .flat, cancellation: tools.cancellation)
    }

    let movesCaches = true

    func trees(of layers: [StoredLayer]) async throws -> [Directory] {
        [try await lay(layers)]
    }

    func run(_ command: Command, mounts: [PreparedMount], on layers: [StoredLayer]) async throws -> RunResult {
        let root = try await lay(layers)
        return try await tools.pool.run { [self] () throws(any Error) in
            var run = FlatRun(root: root, layers: layers.map(\.layer), tools: tools)
            // Swapped, not copied: both are large, and are changed in their place.
            state.withLock { state in
                swap(&run.snapshot, &state.snapshot)
                swap(&run.origins, &state.origins)
            }
            let result = try run.run(command, mounts)
            state.withLock { state in
                swap(&run.snapshot, &state.snapshot)
                swap(&run.origins, &state.origins)
                if let layer = result.layer { state.applied.append(layer.layer.diffID) }
            }
            return result
        }
    }
}
