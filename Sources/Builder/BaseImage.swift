import FoundationEssentials
import Layers
import OCI
import Registry
import SystemIO
import SystemPackage

/// An image to build on: its documents, and layers that nobody has fetched yet.
struct BaseImage: Sendable {
    let config: ImageConfig
    private(set) var layers: [StoredLayer]
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
        let reference = try ImageReference(parsing: name)
        let candidates = registries.candidates(for: reference)
        for (index, candidate) in candidates.enumerated() {
            do {
                let purpose: RegistryReach.Purpose = index + 1 < candidates.count ? .mirror : .pull
                let client = registries.client(for: candidate.registry, to: purpose)
                var image =
                    candidate == reference
                    ? try await pull(candidate, platform: platform, client: client)
                    : try await pullFromMirror(candidate, platform: platform, client: client)
                // Who has the manifest need not have the blobs: what comes after is asked first, what failed already last.
                let others = (candidates[(index + 1)...] + candidates[..<index]).map(BlobOrigin.init)
                for layer in image.layers.indices { image.layers[layer].fallbacks = others }
                return image
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

    /// Pulls from a mirror. A pull-through cache of ECR makes its repository at the first pull, and may say meanwhile that there is
    /// none: it is asked once more.
    private static func pullFromMirror(
        _ reference: ImageReference, platform: Platform, client: RegistryClient
    ) async throws -> BaseImage {
        do { return try await pull(reference, platform: platform, client: client) } catch let error as RegistryError {
            guard error.status == 404, client.isECR else { throw error }
            // The import of a manifest takes a moment; layers follow when they are asked for.
            try await Task.sleep(for: .seconds(2))
            return try await pull(reference, platform: platform, client: client)
        }
    }

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
            origin: BlobOrigin(reference))
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
            let type = strange.layer.descriptor.mediaType
            throw BuildError(
                "\(name) has a layer of the type \(type), which is not supported",
                hint: type.isNotDistributed
                    ? "its vendor alone hands it out, and layers are fetched from no address in a manifest" : nil)
        }
        return BaseImage(config: config, layers: layers, digest: digest)
    }

    private static func decode<T: Decodable>(_ type: T.Type, _ bytes: [UInt8], name: String) throws -> T {
        try CanonicalJSON.decode(type, from: Data(bytes), name: name)
    }
}
