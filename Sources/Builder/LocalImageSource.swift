import FoundationEssentials
import Layers
import OCI
import SystemIO
import SystemPackage

/// An image on this machine as registries shall have it: documents byte for byte, and where its blobs are.
struct LocalImageSource: Sendable {
    /// Manifests and indexes, each after those that it names; the last is the image.
    private(set) var documents: [Destinations.Document] = []
    /// Configs and layers, each once.
    private(set) var blobs: [Descriptor] = []
    /// Opens a blob for reading from its beginning. Its size is right; its digest is for the registry to verify.
    let open: @Sendable (Descriptor) throws -> OwnedDescriptor

    /// Indexes in indexes: more than anybody has.
    private static let longestNesting = 3

    /// An image of a layout, with all that an index names.
    ///
    /// - Parameter name: its tag, name or digest; `nil` for the only one.
    init(layout: ImageLayout, name: String?) throws {
        open = { descriptor in try layout.openBlob(descriptor) }
        try add(try layout.find(named: name), of: layout, nesting: 0)
    }

    private mutating func add(_ descriptor: Descriptor, of layout: ImageLayout, nesting: Int) throws {
        guard !documents.contains(where: { $0.descriptor.digest == descriptor.digest }) else { return }
        let bytes = try layout.document(descriptor)
        let name = descriptor.digest.description
        if descriptor.mediaType.isIndex {
            guard nesting < Self.longestNesting else { throw BuildError("the index \(name) is nested too deeply") }
            let index = try CanonicalJSON.decode(ImageIndex.self, from: Data(bytes), name: "the index \(name)")
            try check(index.mediaType, of: descriptor)
            for child in index.manifests {
                guard try layout.has(child) else {
                    let platform = child.platform.map { " for \($0)" } ?? ""
                    throw BuildError(
                        "the index \(name) names \(child.digest)\(platform), which is not in the layout",
                        hint: "copy all images of the index into the layout: skopeo copy --all")
                }
                try add(child, of: layout, nesting: nesting + 1)
            }
        } else {
            guard descriptor.mediaType.isManifest else {
                throw BuildError("\(name) has the type \(descriptor.mediaType), which is no image's")
            }
            let manifest = try CanonicalJSON.decode(Manifest.self, from: Data(bytes), name: "the manifest \(name)")
            try check(manifest.mediaType, of: descriptor)
            for blob in [manifest.config] + manifest.layers where !blobs.contains(where: { $0.digest == blob.digest }) {
                // Such a layer is its vendor's to hand out: registries take the manifest without it.
                if blob.mediaType.isNotDistributed, try !layout.has(blob) { continue }
                guard try layout.has(blob) else {
                    throw BuildError("the manifest \(name) names the blob \(blob.digest), which is not in the layout")
                }
                blobs.append(blob)
            }
        }
        documents.append(Destinations.Document(descriptor: descriptor, bytes: bytes))
    }

    private func check(_ written: MediaType?, of descriptor: Descriptor) throws {
        guard let written, written != descriptor.mediaType else { return }
        throw BuildError(
            "the layout calls \(descriptor.digest) \(descriptor.mediaType), and it calls itself \(written)")
    }

    /// An image of `docker save`, whose layers are compressed on the way into the store. Its manifest is made here: the archive has
    /// none that registries take.
    ///
    /// - Parameter name: one of its names, its tag or its ID; `nil` for the only one.
    init(archive: DockerArchive, name: String?, store: BlobStore, threads: Int, cancellation: Cancellation) throws {
        let image = try archive.find(name)
        let configBytes = try archive.configBytes(of: image)
        let config = try CanonicalJSON.decode(ImageConfig.self, from: Data(configBytes), name: "the image's config")
        guard config.rootfs.diffIDs.count == image.layers.count else {
            throw BuildError(
                "the archive is damaged: it lists \(image.layers.count) layers, its config \(config.rootfs.diffIDs.count)"
            )
        }
        var layers: [Descriptor] = []
        var known: [Digest: Descriptor] = [:]
        for (path, diffID) in zip(image.layers, config.rootfs.diffIDs) {
            if known[diffID] == nil {
                known[diffID] = try Self.store(
                    path, diffID, of: archive, in: store, threads: threads, cancellation: cancellation)
            }
            if let layer = known[diffID] { layers.append(layer) }
        }
        let configDigest = try store.add(configBytes)
        let manifest = Manifest(
            mediaType: .dockerManifest,
            config: Descriptor(mediaType: .dockerConfig, digest: configDigest, size: Int64(configBytes.count)),
            layers: layers)
        let bytes = Array(try CanonicalJSON.encode(manifest))
        open = { descriptor in try store.open(descriptor) }
        documents = [
            Destinations.Document(
                descriptor: Descriptor(
                    mediaType: .dockerManifest, digest: Digest(sha256: SHA256.hash(bytes)), size: Int64(bytes.count)),
                bytes: bytes)
        ]
        var seen: Set<Digest> = []
        blobs = ([manifest.config] + layers).filter { seen.insert($0.digest).inserted }
    }

    private static func store(
        _ path: String, _ diffID: Digest, of archive: DockerArchive, in store: BlobStore, threads: Int,
        cancellation: Cancellation
    ) throws -> Descriptor {
        let file = try store.makeFile()
        let name = file.name
        do {
            let layer = try archive.writeLayer(
                path, to: try file.descriptor.duplicate(), threads: threads, cancellation: cancellation)
            guard layer.diffID == diffID else {
                throw BuildError(
                    "the archive is damaged: the layer '\(FilePath(path).printable)' has the digest \(layer.diffID), its config says \(diffID)"
                )
            }
            try store.adopt(name, as: layer.descriptor.digest)
            return layer.descriptor
        } catch {
            store.discard(name)
            throw error
        }
    }

    /// Whether a blob's bytes are those that its descriptor names.
    func isSound(_ blob: Descriptor) throws -> Bool {
        let file = try open(blob)
        var hash = SHA256()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = try file.read(into: buffer)
            guard count > 0 else { return Digest(sha256: hash.finish()) == blob.digest }
            hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}
