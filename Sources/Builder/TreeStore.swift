import Glibc
import Layers
import OCI
import Synchronization
import SystemIO
import SystemPackage

/// Unpacked layers, for stacking with overlayfs: complete or absent, and read-only once they are there.
///
/// ```
/// <diffID hex>          the layer, understood alone
/// <diffID hex>-<key>    the layer on what lies below it: its meaning depends on that
/// merged-<key>          many lower layers as one
/// ```
///
/// Nothing waits for a disk: a machine that loses power may keep a tree's name and not all of its files. So a tree says in which run of
/// the machine it was made, and counts as absent in another.
final class TreeStore: Sendable {
    private let state: StateDirectory
    private let trees: Directory
    private let scratch: Scratch
    private let store: BlobStore
    private let attributes: TreeConvention.AttributeNamespace
    private let cancellation: Cancellation
    private let report: EventSink
    /// By name: each is opened once, and so told once to be in use.
    private let opened = Mutex<[FilePath: Tree]>([:])

    init(
        _ state: StateDirectory, scratch: Scratch, store: BlobStore, cancellation: Cancellation,
        report: @escaping EventSink
    ) {
        self.state = state
        trees = state.trees
        self.scratch = scratch
        self.store = store
        attributes = state.attributes
        self.cancellation = cancellation
        self.report = report
    }

    /// An unpacked layer.
    struct Tree: Sendable {
        let name: FilePath
        let root: Directory
        /// Folders that the layer does not describe itself, the root perhaps among them: their owner and mode are those of the layers below.
        let implied: [ImagePath]
        /// The layer deletes all that lies below it; overlayfs cannot say so of a root, so the stack begins here.
        let hidesAllBelow: Bool
        /// Only a note: the layer must be unpacked on what lies below it.
        let dependsOnLower: Bool
    }

    private static let root: FilePath = "root"
    private static let implied: FilePath = "implied"
    private static let hidesAllBelow: FilePath = "hides-all-below"
    private static let dependsOnLower: FilePath = "depends-on-lower"
    private static let boot: FilePath = "boot"

    func contains(_ diffID: Digest) -> Bool {
        (try? openIfPresent(FilePath(diffID.hex))) != nil
    }

    /// Opens a tree, which stays until the build ends: nobody prunes what was used since the build began.
    ///
    /// - Returns: `nil` if it is absent.
    private func openIfPresent(_ name: FilePath) throws -> Tree? {
        if let tree = opened.withLock({ $0[name] }) { return tree }
        let tree = try state.whileNobodyPrunes { () throws(SystemError) -> Tree? in
            guard try trees.statusIfPresent(of: name) != nil else { return nil }
            let folder = try trees.openDirectory(name, .noSymlinks)
            guard try TreeStore.isOfThisBoot(folder) else { return nil }
            try folder.markUsed()
            // As long as the paths in one layer: bounded by what unpacking it accepted.
            let list = try folder.open(TreeStore.implied, O_RDONLY, .noSymlinks).readAll(limit: 1 << 30)
            return Tree(
                name: name, root: try folder.openDirectory(TreeStore.root, .noSymlinks),
                implied: list.split(separator: 0, omittingEmptySubsequences: false).dropLast().map {
                    ImagePath(trusting: Array($0))
                },
                hidesAllBelow: try folder.statusIfPresent(of: TreeStore.hidesAllBelow) != nil,
                dependsOnLower: try folder.statusIfPresent(of: TreeStore.dependsOnLower) != nil)
        }
        guard let tree else { return nil }
        return opened.withLock { opened in
            if let other = opened[name] { return other }
            opened[name] = tree
            return tree
        }
    }

    private static func isOfThisBoot(_ folder: Directory) throws(SystemError) -> Bool {
        guard try folder.statusIfPresent(of: boot) != nil else { return false }
        let made = try folder.open(boot, O_RDONLY, .noSymlinks).readAll(limit: 4096)
        return made.elementsEqual(MachineBoot.identifier.utf8)
    }

    private func open(_ name: FilePath) throws -> Tree {
        guard let tree = try openIfPresent(name) else {
            throw BuildError("the unpacked layer '\(name.printable)' disappeared from the state folder")
        }
        return tree
    }

    // MARK: Stacks

    /// The trees of a stage's layers, lowest first, without those that a layer above deletes. All layers are unpacked. Blocks.
    func stack(_ layers: [StoredLayer]) throws -> [Tree] {
        var stack: [Tree] = []
        for stored in layers {
            var tree = try open(FilePath(stored.layer.diffID.hex))
            if try dependsOnLower(tree, stack) { tree = try unpack(stored.layer, on: stack) }
            if tree.hidesAllBelow { stack = [] }
            stack.append(tree)
        }
        return stack
    }

    /// Whether the layer says something else on these trees than alone: a name of it leads through a symlink of theirs, or lies below
    /// a file of theirs, or it links to a file of theirs.
    private func dependsOnLower(_ tree: Tree, _ lower: [Tree]) throws -> Bool {
        if tree.dependsOnLower { return true }
        guard !tree.hidesAllBelow, !tree.implied.isEmpty, !lower.isEmpty else { return false }
        let view = TreeStore.view(of: lower)
        return try tree.implied.contains { path in
            guard let node = try view.node(at: path.bytes) else { return false }
            return node.status.kind != .directory
        }
    }

    private static func view(of trees: [Tree]) -> UnionTree {
        UnionTree(layers: trees.reversed().map { .overlay($0.root) })
    }

    /// A name for what stands for several trees, lowest first.
    private static func key(_ trees: [Tree]) -> String {
        let hash = SHA256.hash(Array(trees.map(\.name.string).joined(separator: "\n").utf8))
        return Digest(sha256: hash).hex
    }

    /// More trees than this are not mounted, and not held open, at a time. The kernel takes 500; Docker makes no image of more than 127 layers.
    static let widestStack = 128

    /// A stack that shows the same with fewer trees: the lower ones of too many become one, of hard links.
    ///
    /// - Parameter trees: lowest first.
    func narrowed(_ trees: [Tree]) throws -> [Tree] {
        let count = trees.count - TreeStore.widestStack + 1
        guard count > 1 else { return trees }
        let lower = Array(trees[..<count])
        let name = FilePath("merged-" + TreeStore.key(lower))
        if try openIfPresent(name) == nil {
            let folder = try scratch.makeFolder("tree")
            let root = try makeRoot(in: folder)
            let repaired = try ImpliedDirectories.repair(lower, in: scratch)
            let top = repaired.map { [TreeLayer.overlay($0)] } ?? []
            try UnionTree(layers: top + lower.reversed().map { .overlay($0.root) })
                .layOut(in: root, cancellation: cancellation)
            try adopt(folder, as: name, implied: [])
        }
        return [try open(name)] + trees[count...]
    }

    // MARK: Unpacking

    /// Unpacks a layer whose blob is in the store, unless it is here already. Blocks.
    func unpack(_ layer: Layer) throws {
        let name = FilePath(layer.diffID.hex)
        guard try openIfPresent(name) == nil else { return }
        try unpack(layer, as: name, on: nil)
    }

    /// Unpacks a layer whose blob is still arriving, unless it is here already; the tree is visible only when the blob is verified.
    /// Blocks.
    func unpack(_ layer: Layer, from blob: ArrivingBlob) throws {
        let name = FilePath(layer.diffID.hex)
        guard try openIfPresent(name) == nil else { return }
        try unpack(layer, as: name, on: nil, from: blob.file, blob.growth)
    }

    /// Unpacks a layer on those below it, lowest first.
    private func unpack(_ layer: Layer, on lower: [Tree]) throws -> Tree {
        let name = FilePath("\(layer.diffID.hex)-\(TreeStore.key(lower))")
        if let tree = try openIfPresent(name) { return tree }
        try unpack(layer, as: name, on: TreeStore.view(of: lower))
        return try open(name)
    }

    private func unpack(_ layer: Layer, as name: FilePath, on lower: UnionTree?) throws {
        try unpack(layer, as: name, on: lower, from: try store.open(layer.descriptor), nil)
    }

    private func unpack(
        _ layer: Layer, as name: FilePath, on lower: UnionTree?, from blob: borrowing OwnedDescriptor,
        _ growth: FileGrowth?
    ) throws {
        let folder = try scratch.makeFolder("tree")
        let unpacked = try LayerUnpacker.unpack(
            blob: blob, compression: try layer.compression(), expecting: layer.diffID,
            name: layer.descriptor.digest.description, growth: growth, into: try makeRoot(in: folder),
            convention: .overlay(attributes), on: lower,
            cancellation: cancellation)
        if unpacked.isRootOpaque { try TreeStore.mark(folder, TreeStore.hidesAllBelow) }
        if unpacked.dependsOnLower { try TreeStore.mark(folder, TreeStore.dependsOnLower) }
        if let device = unpacked.leftOutDevices.first {
            report(
                .warning(
                    "the layer \(layer.descriptor.digest) has \(unpacked.leftOutDevices.count) device nodes as '/\(FilePath.printable(device))', which cannot be made in a user namespace: commands do not see them"
                ))
        }
        let root = unpacked.isRootDescribed ? [] : [[UInt8]()]
        try adopt(folder, as: name, implied: root + unpacked.impliedDirectories)
    }

    private static func mark(_ folder: Directory, _ name: FilePath) throws {
        try folder.open(name, O_WRONLY | O_CREAT, mode: 0o600, .noSymlinks).close()
    }

    private func makeRoot(in folder: Directory) throws -> Directory {
        try folder.makeRoot(TreeStore.root)
    }

    /// Makes a scratch folder that holds `root/` visible as the tree of a layer.
    func adopt(_ folder: Directory, as diffID: Digest, implied: [[UInt8]]) throws {
        try adopt(folder, as: FilePath(diffID.hex), implied: implied)
    }

    private func adopt(_ folder: Directory, as treeName: FilePath, implied: [[UInt8]]) throws {
        let list = try folder.open(TreeStore.implied, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600, .noSymlinks)
        // A zero after each, for the root's path is empty.
        try list.writeAll(implied.flatMap { $0 + [0] })
        try list.close()
        let boot = try folder.open(TreeStore.boot, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600, .noSymlinks)
        try boot.writeAll(Array(MachineBoot.identifier.utf8))
        try boot.close()
        guard let component = folder.path.lastComponent else { return }
        let name = FilePath(root: nil, [component])
        // Another build may have been faster; ours goes with the scratch then.
        if try rename(name, to: treeName) { return }
        // Or there is one of another run of the machine: nobody uses it, and it goes with the scratch.
        try state.whileNobodyLooks {
            guard try trees.statusIfPresent(of: treeName) != nil,
                try !TreeStore.isOfThisBoot(trees.openDirectory(treeName, .noSymlinks))
            else { return }
            guard let old = try scratch.makeFolder("old").path.lastComponent else { return }
            try trees.rename(treeName, to: FilePath(root: nil, [old]), in: scratch.folder)
        }
        _ = try rename(name, to: treeName)
    }

    /// - Returns: whether the name was free.
    private func rename(_ name: FilePath, to treeName: FilePath) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try scratch.folder.rename(name, to: treeName, in: trees)
            return true
        } catch {
            guard error.errno == .directoryNotEmpty || error.errno == .fileExists else { throw error }
            return false
        }
    }
}

extension Directory {
    /// Makes the folder that becomes an image's `/`: as every image has it, until a layer says otherwise.
    func makeRoot(_ name: FilePath) throws(SystemError) -> Directory {
        try makeDirectory(name, mode: 0o755)
        let root = try openDirectory(name, .noSymlinks)
        guard fchmod(root.descriptor.raw, 0o755) == 0 else { throw .last("fchmod", name) }
        guard futimens(root.descriptor.raw, Timestamp(seconds: 0).asModificationTime) == 0 else {
            throw .last("futimens", name)
        }
        return root
    }
}
