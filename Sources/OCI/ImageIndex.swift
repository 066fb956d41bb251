// https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md

/// A list of manifests: the same image for several platforms, or the images of a layout.
package struct ImageIndex: Hashable, Sendable, Codable {
    package var schemaVersion = 2
    package var mediaType: MediaType?
    package var manifests: [Descriptor]
    package var annotations: [String: String]?

    package init(mediaType: MediaType = .ociIndex, manifests: [Descriptor], annotations: [String: String]? = nil) {
        self.mediaType = mediaType
        self.manifests = manifests
        self.annotations = annotations
    }

    /// The first manifest that runs on `platform`.
    ///
    /// An entry without a platform is taken only if it is the only image here. Attestations
    /// (platform `unknown/unknown`) are never chosen.
    package func manifest(for platform: Platform) -> Descriptor? {
        let images = manifests.filter { $0.platform?.os != "unknown" }
        if let match = images.first(where: { $0.platform.map(platform.accepts) ?? false }) { return match }
        guard images.count == 1, let only = images.first, only.platform == nil else { return nil }
        return only
    }

    /// What is on offer, for an error text: `linux/amd64, linux/arm64`.
    package var platformsOnOffer: String {
        manifests.compactMap(\.platform).filter { $0.os != "unknown" }.map(\.description).joined(separator: ", ")
    }
}
