// https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md

/// An image for one platform: its config and its layers, lowest first.
package struct Manifest: Hashable, Sendable, Codable {
    package var schemaVersion = 2
    package var mediaType: MediaType?
    package var config: Descriptor
    package var layers: [Descriptor]
    package var annotations: [String: String]?

    package init(
        mediaType: MediaType, config: Descriptor, layers: [Descriptor], annotations: [String: String]? = nil
    ) {
        self.mediaType = mediaType
        self.config = config
        self.layers = layers
        self.annotations = annotations
    }
}
