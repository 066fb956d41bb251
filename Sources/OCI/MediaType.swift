// https://github.com/opencontainers/image-spec/blob/v1.1.0/media-types.md
// https://github.com/distribution/distribution/blob/main/docs/content/spec/manifest-v2-2.md

/// The media type of a document or layer, kept as written.
package struct MediaType: RawRepresentable, Hashable, Sendable, Codable {
    package let rawValue: String

    package init(rawValue: String) {
        self.rawValue = rawValue
    }

    package static let ociManifest = MediaType(rawValue: "application/vnd.oci.image.manifest.v1+json")
    package static let ociIndex = MediaType(rawValue: "application/vnd.oci.image.index.v1+json")
    package static let ociConfig = MediaType(rawValue: "application/vnd.oci.image.config.v1+json")
    package static let ociLayer = MediaType(rawValue: "application/vnd.oci.image.layer.v1.tar")
    package static let ociLayerGzip = MediaType(rawValue: "application/vnd.oci.image.layer.v1.tar+gzip")
    package static let ociLayerZstd = MediaType(rawValue: "application/vnd.oci.image.layer.v1.tar+zstd")

    package static let dockerManifest = MediaType(rawValue: "application/vnd.docker.distribution.manifest.v2+json")
    package static let dockerManifestList = MediaType(
        rawValue: "application/vnd.docker.distribution.manifest.list.v2+json")
    package static let dockerConfig = MediaType(rawValue: "application/vnd.docker.container.image.v1+json")
    package static let dockerLayer = MediaType(rawValue: "application/vnd.docker.image.rootfs.diff.tar")
    package static let dockerLayerGzip = MediaType(rawValue: "application/vnd.docker.image.rootfs.diff.tar.gzip")

    /// What a manifest request accepts, exactly: a registry answers 404 to `*/*` for an OCI manifest.
    package static let acceptedManifests: [MediaType] = [ociManifest, ociIndex, dockerManifest, dockerManifestList]

    package var isIndex: Bool { self == .ociIndex || self == .dockerManifestList }
    package var isManifest: Bool { self == .ociManifest || self == .dockerManifest }
    package var isConfig: Bool { self == .ociConfig || self == .dockerConfig }

    /// Whether a layer of this type is handed out by its vendor alone, and need not be in a registry.
    package var isNotDistributed: Bool {
        rawValue.contains(".nondistributable.") || rawValue.contains(".rootfs.foreign.")
    }

    /// How a layer of this type is compressed; `nil` for types that are not layers we can unpack.
    package var layerCompression: Compression? {
        switch self {
        case .ociLayer, .dockerLayer: Compression.none
        case .ociLayerGzip, .dockerLayerGzip: .gzip
        case .ociLayerZstd: .zstd
        default: nil
        }
    }

    /// How layer bytes are compressed.
    package enum Compression: Sendable {
        case none, gzip, zstd
    }

    /// The OCI name of the same content; other types stay as they are.
    package var asOCI: MediaType {
        switch self {
        case .dockerManifest: .ociManifest
        case .dockerManifestList: .ociIndex
        case .dockerConfig: .ociConfig
        case .dockerLayer: .ociLayer
        case .dockerLayerGzip: .ociLayerGzip
        default: self
        }
    }

    /// Docker's name of the same content; types that Docker has no name for stay as they are.
    package var asDocker: MediaType {
        switch self {
        case .ociManifest: .dockerManifest
        case .ociIndex: .dockerManifestList
        case .ociConfig: .dockerConfig
        case .ociLayer: .dockerLayer
        case .ociLayerGzip: .dockerLayerGzip
        default: self
        }
    }

    package init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(String.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

extension MediaType: CustomStringConvertible {
    package var description: String { rawValue }
}
