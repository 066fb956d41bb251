import Dockerfile
import Glibc
import Layers
import OCI
import SystemIO

/// The files of a cache mount as a layer, and back.
enum MountLayer {
    /// Entries of one cache: far more than package managers keep, and few enough to unpack.
    private static let entryLimit = 4_000_000

    struct Packed: Sendable {
        let layer: Layer
        /// Of all files.
        let bytes: Int64
    }

    /// Makes a layer of what is in a cache that nobody uses now. Times are kept: those who keep a cache go by them.
    ///
    /// - Parameters:
    ///   - instance: the folder that `CacheLease.contents` is in.
    ///   - limit: bytes that the files may have.
    /// - Throws: `BuildError` for a cache that is in use, is too large, holds what is no file, or shows a secret.
    static func pack(_ instance: Directory, limit: Int64, _ tools: BuildTools) async throws -> Packed {
        guard try CacheMounts.lock(instance, LOCK_EX) else { throw BuildError("another build uses it") }
        defer { flock(instance.descriptor.raw, LOCK_UN) }
        let nothing = try await LayerContents(tools: tools).bring([], of: [])
        return try await tools.pool.run { () throws(any Error) in
            let plan = try plan(instance.openDirectory(CacheLease.contents, .noSymlinks))
            var bytes: Int64 = 0
            for item in plan.ordered() {
                switch item.entry.kind {
                case .file(let size): bytes += size
                case .directory, .symlink, .hardLink, .fifo: break
                case .characterDevice, .blockDevice, .whiteout, .opaqueMarker:
                    throw BuildError("'\(ImagePath(trusting: item.entry.path).absolute)' in it is a device")
                }
            }
            guard bytes <= limit else {
                throw BuildError("it holds \(bytes) bytes, and there is room for \(limit) (--cache-mounts-limit)")
            }
            if let path = try SecretSearch(tools.secrets).find(in: plan, tools.cancellation) {
                throw BuildError("'\(path.absolute)' in it holds the value of a secret")
            }
            let maker = LayerMaker(
                store: tools.store, compression: tools.maker.compression, threads: tools.maker.threads, latest: nil,
                cancellation: tools.cancellation)
            return Packed(layer: try maker.make { _ = try plan.write(to: &$0, nothing) }, bytes: bytes)
        }
    }

    private static func plan(_ contents: Directory) throws -> LayerPlan {
        let source = CopyOperation.Source(
            tree: UnionTree(layers: [.plain(contents)]), ignored: IgnorePatterns.none, keepsOwners: true,
            name: "the cache")
        var operation = CopyOperation(
            on: UnionTree(layers: []), destination: .init("/", workingDirectory: "/", isDirectory: true),
            options: .init(owner: nil, mode: nil, excluded: IgnorePatterns.none), time: Timestamp(seconds: 0))
        try operation.copyContents(of: .root, from: source)
        return operation.plan
    }

    /// Lays a layer's files into an empty folder. The blob is in the store. Blocks.
    ///
    /// - Parameter bytes: what its files may have together.
    /// - Throws: for a layer that is not what its record says, and one that no cache can have made. The folder is of no use then.
    static func unpack(_ layer: Layer, of bytes: Int64, into root: Directory, _ tools: BuildTools) throws {
        let name = layer.descriptor.digest.description
        guard let compression = layer.descriptor.mediaType.layerCompression else {
            throw BuildError("\(name) is no layer")
        }
        try check(layer, bytes, compression, tools)
        _ = try LayerUnpacker.unpack(
            blob: try tools.store.open(layer.descriptor), compression: compression, expecting: layer.diffID, name: name,
            into: root, convention: .flat, cancellation: tools.cancellation)
    }

    /// Looks through all of a layer before any of it is on the disk.
    private static func check(
        _ layer: Layer, _ bytes: Int64, _ compression: MediaType.Compression, _ tools: BuildTools
    ) throws {
        let name = layer.descriptor.digest.description
        var reader = try TarReader(layer: try tools.store.open(layer.descriptor), compression: compression, name: name)
        var rest = bytes
        var entries = 0
        while let entry = try reader.next() {
            try tools.checkCancelled()
            entries += 1
            guard entries <= entryLimit else { throw BuildError("\(name) has more than \(entryLimit) entries") }
            switch entry.kind {
            case .file(let size):
                guard size <= rest else { throw BuildError("\(name) holds more than \(bytes) bytes") }
                rest -= size
            case .directory, .symlink, .hardLink, .fifo: break
            case .characterDevice, .blockDevice, .whiteout, .opaqueMarker:
                throw BuildError("\(name) holds what no cache has: '\(ImagePath(trusting: entry.path).absolute)'")
            }
        }
    }
}
