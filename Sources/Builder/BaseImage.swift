import FoundationEssentials
import Layers
import OCI
import Registry
import SystemIO
import SystemPackage

/// An image to build on: its documents, and layers that nobody has fetched yet.
struct BaseImage: Sendable {
    let config: ImageConfig
    let layers: [StoredLayer]
    /// Its manifest's digest, for messages.
    let digest: Digest

    /// Finds an image by the name that a Dockerfile gives it: in the named contexts, else in its registry.
    ///
    /// Only documents are read. The blobs stay where they are until somebody needs the files.
    /// - Throws: for an image that is not there or has nothing for the platform.
    static func resolve(
        _ name: String, platform: Platform, layout: (path: FilePath, reference: String?)?, registries: Registries,
        pool: BlockingPool
    ) async throws -> BaseImage {
        if let layout {
            return try await pool.run { () throws(any Error) in
                try read(name, at: layout.path, reference: layout.reference, platform: platform)
            }
        }
        let candidates = registries.candidates(for: try ImageReference(parsing: name))
        for (index, candidate) in candidates.enumerated() {
            do {
                let purpose: RegistryReach.Purpose = index + 1 < candidates.count ? .mirror : .pull
                return try await pull(
                    candidate, platform: platform, client: registries.client(for: candidate.registry, to: purpose))
            } catch {
                guard index + 1 < candidates.count, !Task.isCancelled else { throw error }
                registries.warn("the mirror's \(candidate) cannot be used: \(error); trying \(candidates[index + 1])")
            }
        }
        throw BuildError("[internal error] \(name) has no place")
    }

    /// How many indexes may lead to an image, each named by the one before: more than there are in the wild.
    private static let indexDepth = 3

    // MARK: From a registry

    private static func pull(
        _ reference: ImageReference, platform: Platform, client: RegistryClient
    ) async throws -> BaseImage {
        var fetched = try await client.manifest(of: reference)
        for _ in 0..<indexDepth where fetched.descriptor.mediaType.isIndex {
            let child = try choose(fetched.bytes, name: "\(reference)", platform: platform)
            fetched = try await client.manifest(child, repository: reference.repository)
        }
        let manifest = try decode(Manifest.self, fetched.bytes, name: "the manifest of \(reference)")
        let config = try await client.smallBlob(manifest.config, repository: reference.repository)
        return try make(
            manifest, config: config, digest: fetched.descriptor.digest, name: "\(reference)", platform: platform,
            origin: .registry(reference.registry, repository: reference.repository))
    }

    // MARK: From a layout

    private static func read(
        _ name: String, at path: FilePath, reference: String?, platform: Platform
    ) throws -> BaseImage {
        let layout = try ImageLayout(opening: path)
        var descriptor =
            if let reference, reference.contains(":") {
                try layout.find(digest: try Digest(parsing: reference))
            } else {
                try layout.find(tag: reference)
            }
        for _ in 0..<indexDepth where descriptor.mediaType.isIndex {
            descriptor = try choose(try layout.document(descriptor), name: name, platform: platform)
        }
        let manifest = try decode(Manifest.self, try layout.document(descriptor), name: "the manifest of \(name)")
        return try make(
            manifest, config: try layout.document(manifest.config, limit: ImageLayout.configLimit),
            digest: descriptor.digest, name: name, platform: platform, origin: .layout(path))
    }

    // MARK: Documents

    private static func choose(_ bytes: [UInt8], name: String, platform: Platform) throws -> Descriptor {
        let index = try decode(ImageIndex.self, bytes, name: "the index of \(name)")
        guard let chosen = index.manifest(for: platform) else {
            throw BuildError(
                "\(name) has no image for \(platform)",
                hint: "it has \(index.platformsOnOffer); choose one with --platform")
        }
        return chosen
    }

    private static func make(
        _ manifest: Manifest, config bytes: [UInt8], digest: Digest, name: String, platform: Platform,
        origin: BlobOrigin
    ) throws -> BaseImage {
        let config = try decode(ImageConfig.self, bytes, name: "the config of \(name)")
        guard manifest.config.mediaType.isConfig else {
            throw BuildError("\(name) is no container image: its config has the type \(manifest.config.mediaType)")
        }
        guard config.rootfs.diffIDs.count == manifest.layers.count else {
            throw BuildError(
                "\(name) is damaged: its manifest has \(manifest.layers.count) layers, its config \(config.rootfs.diffIDs.count)"
            )
        }
        guard config.os.isEmpty || platform.accepts(config.platform) else {
            throw BuildError(
                "\(name) is an image for \(config.platform), and the build is for \(platform)",
                hint: "choose the image's platform with --platform, or another base")
        }
        let layers = zip(manifest.layers, config.rootfs.diffIDs).map { descriptor, diffID in
            StoredLayer(layer: Layer(descriptor: descriptor, diffID: diffID), origin: origin)
        }
        if let strange = layers.first(where: { $0.layer.descriptor.mediaType.layerCompression == nil }) {
            throw BuildError(
                "\(name) has a layer of the type \(strange.layer.descriptor.mediaType), which is not supported")
        }
        return BaseImage(config: config, layers: layers, digest: digest)
    }

    private static func decode<T: Decodable>(_ type: T.Type, _ bytes: [UInt8], name: String) throws -> T {
        try CanonicalJSON.decode(type, from: Data(bytes), name: name)
    }
}
