import Glibc
import Layers
import OCI
import SystemIO
import SystemPackage

/// Unpacked layers by diffID, for stacking with overlayfs: complete or absent, and read-only once they are there.
final class TreeStore: Sendable {
    private let trees: Directory
    private let scratch: Scratch
    private let store: BlobStore
    private let cancellation: Cancellation

    init(_ state: StateDirectory, scratch: Scratch, store: BlobStore, cancellation: Cancellation) {
        trees = state.trees
        self.scratch = scratch
        self.store = store
        self.cancellation = cancellation
    }

    /// An unpacked layer.
    struct Tree: Sendable {
        let root: Directory
        /// Folders that the layer does not describe itself: their owner and mode are those of the layers below.
        let implied: [ImagePath]
        /// The layer deletes all that lies below it; overlayfs cannot say so of a root, so the stack begins here.
        let hidesAllBelow: Bool
    }

    private static let root: FilePath = "root"
    private static let implied: FilePath = "implied"
    private static let hidesAllBelow: FilePath = "hides-all-below"

    func contains(_ diffID: Digest) -> Bool {
        (try? trees.statusIfPresent(of: FilePath(diffID.hex))) != nil
    }

    func open(_ diffID: Digest) throws -> Tree {
        let folder = try trees.openDirectory(FilePath(diffID.hex), .noSymlinks)
        // As long as the paths in one layer: bounded by what unpacking it accepted.
        let list = try folder.open(TreeStore.implied, O_RDONLY, .noSymlinks).readAll(limit: 1 << 30)
        return Tree(
            root: try folder.openDirectory(TreeStore.root, .noSymlinks),
            implied: list.split(separator: 0).map { ImagePath(trusting: Array($0)) },
            hidesAllBelow: try folder.statusIfPresent(of: TreeStore.hidesAllBelow) != nil)
    }

    /// The trees of a stage's layers, lowest first, without those that a layer above deletes.
    func stack(_ layers: [StoredLayer]) throws -> [Tree] {
        let trees = try layers.map { try open($0.layer.diffID) }
        return Array(trees[(trees.lastIndex { $0.hidesAllBelow } ?? 0)...])
    }

    /// Unpacks a layer whose blob is in the store, unless it is here already. Blocks.
    func unpack(_ layer: Layer) throws {
        guard !contains(layer.diffID) else { return }
        guard let compression = layer.descriptor.mediaType.layerCompression else {
            throw BuildError(
                "the layer \(layer.descriptor.digest) has the type \(layer.descriptor.mediaType), which cannot be unpacked"
            )
        }
        let folder = try scratch.makeFolder("tree")
        let root = try makeRoot(in: folder)
        let unpacked = try LayerUnpacker.unpack(
            blob: try store.open(layer.descriptor), compression: compression, expecting: layer.diffID,
            name: layer.descriptor.digest.description, into: root, convention: .overlay(.trusted),
            cancellation: cancellation)
        if unpacked.isRootOpaque {
            try folder.open(TreeStore.hidesAllBelow, O_WRONLY | O_CREAT, mode: 0o600, .noSymlinks).close()
        }
        try adopt(folder, as: layer.diffID, implied: unpacked.impliedDirectories)
    }

    private func makeRoot(in folder: Directory) throws -> Directory {
        try folder.makeDirectory(TreeStore.root, mode: 0o755)
        return try folder.openDirectory(TreeStore.root, .noSymlinks)
    }

    /// Makes a scratch folder that holds `root/` visible as the tree of a layer.
    func adopt(_ folder: Directory, as diffID: Digest, implied: [[UInt8]]) throws {
        let list = try folder.open(TreeStore.implied, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600, .noSymlinks)
        try list.writeAll(Array(implied.joined(separator: [0])))
        try list.close()
        guard let name = folder.path.lastComponent else { return }
        do {
            try scratch.folder.rename(FilePath(root: nil, [name]), to: FilePath(diffID.hex), in: trees)
        } catch {
            // Another build may have been faster; ours goes with the scratch.
            guard error.errno == .directoryNotEmpty || error.errno == .fileExists else { throw error }
        }
    }
}
