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
    /// Whether a RUN will need the trees anyway.
    private let unpacks: Bool
    /// What repairs the implied folders of a stack, by its layers; `nil` for a stack without any.
    private let repairs = Mutex<[[Digest]: Directory?]>([:])

    init(_ tools: BuildTools, unpacks: Bool) {
        self.tools = tools
        self.unpacks = unpacks
    }

    func names(of layers: [StoredLayer]) async throws -> UnionTree {
        // What was written last need not be laid out to be looked at.
        let written = layers.reversed().prefix { stored in
            tools.indices.isRemembered(stored.layer) && !tools.trees.contains(stored.layer.diffID)
        }.count
        let lower = Array(layers.dropLast(written))
        let isUnpacked = lower.allSatisfy { tools.trees.contains($0.layer.diffID) }
        guard isUnpacked || (unpacks && !tools.indices.areKnown(lower)) else {
            return try await tools.indices.view(of: layers)
        }
        return UnionTree(
            layers: try tools.indices.entries(of: layers.suffix(written))
                + (try await stack(lower).map { .overlay($0) }))
    }

    func contents(of layers: [StoredLayer]) async throws -> UnionTree {
        return UnionTree(layers: try await stack(layers).map { .overlay($0) })
    }

    /// The unpacked trees, the topmost first, all folders with the owner and mode that the image gives them.
    private func stack(_ layers: [StoredLayer]) async throws -> [Directory] {
        try await tools.unpack(layers)
        let key = layers.map(\.layer.diffID)
        let known = repairs.withLock { $0[key] }
        let (roots, repaired) = try await tools.pool.run { [tools] () throws(any Error) -> ([Directory], Directory?) in
            let trees = try tools.trees.narrowed(try tools.trees.stack(layers))
            return (trees.reversed().map(\.root), try known ?? ImpliedDirectories.repair(trees, in: tools.scratch))
        }
        repairs.withLock { $0[key] = .some(repaired) }
        return (repaired.map { [$0] } ?? []) + roots
    }

    let movesCaches = false

    func trees(of layers: [StoredLayer]) async throws -> [Directory] {
        try await stack(layers).reversed()
    }

    func run(_ command: Command, mounts: [PreparedMount], on layers: [StoredLayer]) async throws -> RunResult {
        let lower = try await stack(layers)
        return try await tools.pool.run { [tools] () throws(any Error) in
            let view = UnionTree(layers: lower.map { .overlay($0) })
            for mount in mounts {
                switch try view.resolve(mount.target.bytes, followLast: true) {
                case .found(let node) where node.path.isEmpty: throw mount.rootFault
                case .notDirectory: throw mount.fileFault
                default: break
                }
            }
            let own = try OverlayMounts(mounts, tools)
            defer { own.leave() }
            var command = command
            command.mounts = own.mounts
            return try Self.run(command, on: lower, with: tools)
        }
    }

    /// - Parameter lower: the topmost first.
    private static func run(_ command: Command, on lower: [Directory], with tools: BuildTools) throws -> RunResult {
        let folder = try tools.scratch.makeFolder("run")
        let root = RootFileSystem.overlay(
            layers: lower.map(\.path), upper: folder.path.appending("root"), work: folder.path.appending("work"))
        let outcome = try tools.run(command, in: root)
        guard outcome.status.isSuccess else { return RunResult(status: outcome.status, layer: nil) }
        let upper = try folder.openDirectory("root", .noSymlinks)
        let below = UnionTree(layers: lower.map { .overlay($0) })
        let changes = try OverlayChanges.read(
            upper: upper, lower: below, ignoring: [], cancellation: tools.cancellation)
        guard !changes.isEmpty else { return RunResult(status: outcome.status, layer: nil) }
        let layer = try tools.maker.make { writer in try writer.add(changes, from: upper) }
        // The upper folder is the layer's tree already, but for what the layer does not have.
        try changes.settle(in: upper, latest: tools.maker.latest)
        try folder.removeTree("work")
        try tools.trees.adopt(folder, as: layer.diffID, implied: [])
        return RunResult(status: outcome.status, layer: StoredLayer(layer: layer, origin: .store))
    }
}
