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
        try await missing.forEachConcurrently(width: BuildTools.unpackWidth) { [tools] in
            try await tools.blobs.fetch($0)
        }
        for stored in missing {
            try await tools.pool.run { [tools] () throws(any Error) in try Self.unpack(stored.layer, into: root, tools)
            }
            state.withLock { $0.applied.append(stored.layer.diffID) }
        }
        return root
    }

    private static func makeRoot(in scratch: Scratch) throws(SystemError) -> Directory {
        try scratch.makeFolder("flat").makeRoot("root")
    }

    private static func unpack(_ layer: Layer, into root: Directory, _ tools: BuildTools) throws {
        _ = try LayerUnpacker.unpack(
            blob: try tools.store.open(layer.descriptor), compression: try layer.compression(), expecting: layer.diffID,
            name: layer.descriptor.digest.description, into: root, convention: .flat, cancellation: tools.cancellation)
    }

    let movesCaches = true

    func trees(of layers: [StoredLayer]) async throws -> [Directory] {
        [try await lay(layers)]
    }

    func run(_ command: Command, mounts: [PreparedMount], on layers: [StoredLayer]) async throws -> RunResult {
        let root = try await lay(layers)
        let result = try await tools.pool.run { [tools] () throws(any Error) in
            try Self.run(command, mounts, in: root, with: tools)
        }
        if let layer = result.layer { state.withLock { $0.applied.append(layer.layer.diffID) } }
        return result
    }

    private static func run(
        _ command: Command, _ mounts: [PreparedMount], in root: Directory, with tools: BuildTools
    ) throws -> RunResult {
        let covered = try FlatMounts.targets(mounts, in: root)
        let before = try TreeSnapshot.capture(
            root, excluding: Sandbox.lentFiles.union(covered), cancellation: tools.cancellation)
        let guests = try FlatMounts(
            placing: mounts, in: root, scratch: tools.scratch, cancellation: tools.cancellation)
        // Both ways out take the guests away again: a cache is worth keeping after a failure, too.
        let outcome: RunOutcome
        do { outcome = try tools.run(command, in: .flat(root.path)) } catch {
            try guests.leave()
            throw error
        }
        try guests.leave()
        guard outcome.status.isSuccess else {
            return RunResult(status: outcome.status, layer: nil, setIDProgram: outcome.supervision?.setIDProgram)
        }
        let changes = try before.changes(in: root, cancellation: tools.cancellation)
        let layer =
            changes.isEmpty ? nil : try tools.maker.make { writer in try writer.add(changes, from: root) }
        try changes.settle(in: root, latest: tools.maker.latest)
        return RunResult(
            status: outcome.status, layer: layer.map { StoredLayer(layer: $0, origin: .store) })
    }
}
