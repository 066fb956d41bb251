import Glibc
import Layers
import OCI
import Synchronization
import SystemIO
import SystemPackage

/// What layers hold, known without unpacking them: names, owners, modes and links, of layers that this build wrote and of any other.
///
/// A layer of others is read once, for its headers; what it lists is kept in the state folder (`indices/<diffID hex>`), so that a later
/// build on the same base fetches nothing of it.
final class LayerIndices: Sendable {
    private let state: StateDirectory
    private let blobs: BlobFetcher
    private let pool: BlockingPool
    private let cancellation: Cancellation
    private let known = Mutex<[Digest: LayerListing]>([:])
    /// The layers of stacks, by the stack's diffIDs up to the layer: what a layer says may depend on those below it.
    private let indices = Mutex<[[Digest]: LayerIndex]>([:])

    init(_ state: StateDirectory, blobs: BlobFetcher, pool: BlockingPool, cancellation: Cancellation) {
        self.state = state
        self.blobs = blobs
        self.pool = pool
        self.cancellation = cancellation
    }

    /// Bytes. A million files make 40 MB; a layer that lists more is read each time.
    private static let sizeLimit = 256 * 1024 * 1024

    // MARK: Listings

    /// Remembers for this build what was just written into a layer, entry by entry.
    func remember(_ layer: Layer, entries: [LayerEntry]) {
        known.withLock { $0[layer.diffID] = LayerListing(diffID: layer.diffID, entries: entries) }
    }

    /// Whether this build wrote the layer, and so knows it without a look anywhere.
    func isRemembered(_ layer: Layer) -> Bool {
        known.withLock { $0[layer.diffID] != nil }
    }

    /// Whether the layers are known without fetching any of them.
    func areKnown(_ layers: [StoredLayer]) -> Bool {
        layers.allSatisfy { stored in
            if isRemembered(stored.layer) { return true }
            let name = FilePath(stored.layer.diffID.hex)
            return ((try? state.indices.statusIfPresent(of: name)) ?? nil) != nil
        }
    }

    /// What a layer lists: remembered, else from the state folder, else read from its blob, which is fetched.
    func listing(of stored: StoredLayer) async throws -> LayerListing {
        let diffID = stored.layer.diffID
        if let listing = known.withLock({ $0[diffID] }) { return listing }
        if let kept = try await pool.run({ () throws(any Error) in try self.read(diffID) }) { return kept }
        try await blobs.fetch(stored)
        return try await pool.run { () throws(any Error) in
            let listing = try self.makeListing(of: stored.layer)
            try self.keep(listing.encoded(), of: diffID)
            return self.remember(listing)
        }
    }

    private func remember(_ listing: LayerListing) -> LayerListing {
        known.withLock { $0[listing.diffID] = listing }
        return listing
    }

    private func makeListing(of layer: Layer) throws -> LayerListing {
        try LayerListing(
            reading: try blobs.store.open(layer.descriptor), compression: try layer.compression(),
            expecting: layer.diffID, name: layer.descriptor.digest.description, cancellation: cancellation)
    }

    /// A damaged file, or one of another version, is as good as none.
    private func read(_ diffID: Digest) throws -> LayerListing? {
        guard let bytes = try encoded(diffID) else { return nil }
        return LayerListing(decoding: bytes, of: diffID).map { remember($0) }
    }

    // MARK: The state folder

    /// The listing of a layer as bytes, if it is kept. Marks it as used. Blocks.
    private func encoded(_ diffID: Digest) throws -> [UInt8]? {
        let name = FilePath(diffID.hex)
        return try state.whileNobodyPrunes { () throws(SystemError) -> [UInt8]? in
            guard try state.indices.statusIfPresent(of: name) != nil else { return nil }
            let file = try state.indices.open(name, O_RDONLY, .noSymlinks)
            guard futimens(file.raw, nil) == 0 else { throw .last("futimens", name) }
            let status = try file.status()
            guard status.kind == .file, status.size <= Int64(LayerIndices.sizeLimit) else { return nil }
            return try file.readAll(limit: LayerIndices.sizeLimit)
        }
    }

    private func keep(_ bytes: [UInt8], of diffID: Digest) throws(SystemError) {
        guard bytes.count <= LayerIndices.sizeLimit else { return }
        let file = try AtomicFile(FilePath(diffID.hex), in: state.indices, mode: 0o600)
        try file.writeAll(bytes)
        try file.publish()
    }

    // MARK: Views

    /// A view of the layers, lowest first, in which all can be looked up, and nothing is opened but what is kept for it.
    func view(of layers: [StoredLayer]) async throws -> UnionTree {
        let missing = layers.filter { !isRemembered($0.layer) }
        try await missing.forEachConcurrently(width: BuildTools.unpackWidth) { [self] in _ = try await listing(of: $0) }
        return try await pool.run { () throws(any Error) in
            var stack: [TreeLayer] = []
            var names: [Digest] = []
            for stored in layers {
                names.append(stored.layer.diffID)
                stack.insert(.entries(try self.index(of: stored.layer, names, on: stack)), at: 0)
            }
            return UnionTree(layers: stack)
        }
    }

    /// The layers on top of a tree that is there, as this build wrote them: lowest first, each of them remembered.
    func entries(of layers: [StoredLayer]) throws -> [TreeLayer] {
        try layers.reversed().map { .entries(try index(of: $0.layer, [$0.layer.diffID], on: [])) }
    }

    /// - Parameter names: the stack's diffIDs, the layer's own last.
    private func index(of layer: Layer, _ names: [Digest], on lower: [TreeLayer]) throws -> LayerIndex {
        if let index = indices.withLock({ $0[names] }) { return index }
        guard let listing = known.withLock({ $0[layer.diffID] }) else {
            throw BuildError("[internal error] the layer \(layer.descriptor.digest) was not listed")
        }
        let index: LayerIndex
        do throws(LayerError) {
            index = try LayerIndex(listing, on: lower.isEmpty ? nil : UnionTree(layers: lower))
        } catch {
            guard case .invalid(_, let entry, let reason) = error else { throw error }
            throw LayerError.invalid(layer: layer.descriptor.digest.description, entry: entry, reason: reason)
        }
        indices.withLock { $0[names] = index }
        return index
    }
}

extension Layer {
    /// How the blob is compressed.
    ///
    /// - Throws: for a type that is no layer's.
    func compression() throws -> MediaType.Compression {
        guard let compression = descriptor.mediaType.layerCompression else {
            throw BuildError(
                "the layer \(descriptor.digest) has the type \(descriptor.mediaType), which cannot be unpacked")
        }
        return compression
    }
}
