import Dockerfile
import Layers
import OCI
import SystemIO

/// An image while it is built: config, layers and history so far. A value: a stage that starts from another copies it.
struct ImageDraft: Sendable {
    private(set) var config: ImageConfig
    /// Lowest first; as many as `config.rootfs.diffIDs`.
    private(set) var layers: [StoredLayer]
    /// What `created` says, of the image and of every step.
    let created: String
    /// How many layers and lines of history are the base image's.
    let base: (layers: Int, history: Int)

    /// An empty image.
    init(scratchFor platform: Platform, created: Timestamp) {
        config = ImageConfig(platform: platform)
        config.config.workingDir = "/"
        layers = []
        base = (0, 0)
        self.created = created.rfc3339
    }

    /// An image on top of a base, whose config is inherited whole but for its triggers.
    init(base: BaseImage, created: Timestamp) {
        config = base.config
        config.config.onBuild = nil
        layers = base.layers
        self.base = (base.layers.count, base.config.history.count)
        self.created = created.rfc3339
    }

    /// The path that RUN searches when the image sets none, also written into the config.
    static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    var environment: [String] { config.config.env ?? [] }
    var workingDirectory: String {
        let folder = config.config.workingDir ?? ""
        return folder.isEmpty ? "/" : folder
    }
    var user: String { config.config.user ?? "" }
    /// What the shell form of RUN, CMD and ENTRYPOINT starts with.
    var shell: [String] { config.config.shell ?? ["/bin/sh", "-c"] }

    /// Records a step that made a layer.
    mutating func append(_ layer: StoredLayer, createdBy text: String) {
        layers.append(layer)
        config.rootfs.diffIDs.append(layer.layer.diffID)
        appendHistory(text, empty: false)
    }

    /// Records a step that changed the config only, or nothing.
    mutating func appendHistory(_ text: String, empty: Bool = true) {
        config.history.append(
            ImageConfig.History(
                created: created, createdBy: text, author: config.author, comment: "imgbuild",
                emptyLayer: empty ? true : nil))
    }

    /// The same image with one layer in place of all that are not the base's; with none if `layer` is `nil`.
    func squashed(into layer: StoredLayer?) -> ImageDraft {
        var draft = self
        let steps = config.history.indices.dropFirst(base.history)
        let last = steps.last { config.history[$0].emptyLayer != true }
        draft.layers = layers.prefix(base.layers) + (layer.map { [$0] } ?? [])
        draft.config.rootfs.diffIDs = draft.layers.map(\.layer.diffID)
        for step in steps where step != last || layer == nil { draft.config.history[step].emptyLayer = true }
        return draft
    }

    mutating func update(_ change: (inout ContainerConfig) -> Void) {
        change(&config.config)
    }

    mutating func setAuthor(_ author: String) {
        config.author = author
    }

    /// Sets the environment in full, as a stage's scope has it.
    mutating func setEnvironment(_ environment: [String]) {
        config.config.env = environment
    }

    /// The documents of the finished image: config, manifest, and what they are made of.
    ///
    /// All types are of one family, also those of base layers: a blob has the same bytes under either name.
    /// - Throws: `BuildError` for a layer that the family has no type for.
    func finish(
        as format: BuildRequest.ImageFormat = .oci, annotations: [String: String]? = nil
    ) throws -> ([UInt8], [UInt8], Manifest, Descriptor, [StoredLayer]) {
        var config = self.config
        config.created = created
        let configBytes = Array(try CanonicalJSON.encode(config))
        let configDescriptor = Descriptor(
            mediaType: format.type(.ociConfig), digest: Digest(sha256: SHA256.hash(configBytes)),
            size: Int64(configBytes.count))
        let described = try layers.map { stored in
            var stored = stored
            stored.layer.descriptor.mediaType = format.type(stored.layer.descriptor.mediaType)
            guard format == .oci || stored.layer.descriptor.mediaType != .ociLayerZstd else {
                throw BuildError(
                    "the layer \(stored.layer.descriptor.digest) is compressed with zstd, which Docker's format has no type for",
                    hint: "leave --image-format out: an OCI image may hold it")
            }
            return stored
        }
        let type = format.type(.ociManifest)
        let manifest = Manifest(
            mediaType: type, config: configDescriptor, layers: described.map(\.layer.descriptor),
            annotations: annotations)
        let manifestBytes = Array(try CanonicalJSON.encode(manifest))
        let descriptor = Descriptor(
            mediaType: type, digest: Digest(sha256: SHA256.hash(manifestBytes)), size: Int64(manifestBytes.count))
        return (configBytes, manifestBytes, manifest, descriptor, described)
    }
}

extension BuildRequest.ImageFormat {
    /// This family's name of a type.
    fileprivate func type(_ type: MediaType) -> MediaType {
        switch self {
        case .oci: type.asOCI
        case .docker: type.asDocker
        }
    }
}

/// A layer and where its blob can be had from.
struct StoredLayer: Sendable, Hashable {
    var layer: Layer
    var origin: BlobOrigin
    /// Where the same blob is looked for when its origin fails: other mirrors, and the registry that they stand for.
    var fallbacks: [BlobOrigin] = []
}
