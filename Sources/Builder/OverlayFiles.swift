import Layers
import OCI
import Sandbox
import Synchronization
import SystemIO
import SystemPackage

/// A stage's files as a stack of trees, one a layer; a RUN writes into an upper folder that becomes the next tree.
///
/// The overlay itself is mounted by the sandbox in the command's own mount namespace: the builder mounts nothing.
final class OverlayFiles: StageFiles {
    private let tools: BuildTools
    private let written = Mutex<[Digest: LayerIndex]>([:])

    init(_ tools: BuildTools) {
        self.tools = tools
    }

    func remember(_ layer: StoredLayer, entries: [LayerEntry]) {
        written.withLock { $0[layer.layer.diffID] = LayerIndex(entries) }
    }

    func names(of layers: [StoredLayer]) async throws -> UnionTree {
        let indexes = written.withLock { $0 }
        // What was written last need not be laid out to be looked at.
        let indexed = layers.reversed().prefix { stored in
            indexes[stored.layer.diffID] != nil && !tools.trees.contains(stored.layer.diffID)
        }
        let lower = Array(layers.dropLast(indexed.count))
        try await tools.unpack(lower)
        return UnionTree(
            layers: indexed.compactMap { indexes[$0.layer.diffID].map { .entries($0) } }
                + (try tools.trees.stack(lower).reversed().map { .overlay($0.root) }))
    }

    func contents(of layers: [StoredLayer]) async throws -> UnionTree {
        try await tools.unpack(layers)
        return UnionTree(layers: try tools.trees.stack(layers).reversed().map { .overlay($0.root) })
    }

    func run(_ command: Command, on layers: [StoredLayer]) async throws -> RunResult {
        try await tools.unpack(layers)
        let trees = try tools.trees.stack(layers)
        return try await tools.pool.run { [tools] () throws(any Error) in try Self.run(command, on: trees, with: tools) }
    }

    private static func run(_ command: Command, on trees: [TreeStore.Tree], with tools: BuildTools) throws -> RunResult {
        let folder = try tools.scratch.makeFolder("run")
        var lower = trees.map(\.root)
        if let repaired = try ImpliedDirectories.repair(trees, in: tools.scratch) { lower.append(repaired) }
        let root = RootFileSystem.overlay(
            layers: lower.reversed().map(\.path), upper: folder.path.appending("root"), work: folder.path.appending("work"))
        let outcome = try tools.run(command, in: root)
        guard outcome.status.isSuccess else { return RunResult(status: outcome.status, layer: nil) }
        let upper = try folder.openDirectory("root", .noSymlinks)
        let below = UnionTree(layers: lower.reversed().map { .overlay($0) })
        let changes = try OverlayChanges.read(upper: upper, lower: below, ignoring: [], cancellation: tools.cancellation)
        guard !changes.isEmpty else { return RunResult(status: outcome.status, layer: nil) }
        let layer = try tools.maker.make { writer in try writer.add(changes, from: upper) }
        // The upper folder is the layer's tree already, but for the times that the layer does not have.
        if let latest = tools.maker.latest { try LayerChange.clampTimes(changes, in: upper, to: latest) }
        try folder.removeTree("work")
        try tools.trees.adopt(folder, as: layer.diffID, implied: [])
        return RunResult(status: outcome.status, layer: StoredLayer(layer: layer, origin: .store))
    }
}
