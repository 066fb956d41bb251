// https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md

/// Names content by type, digest and size; says nothing about where it is.
package struct Descriptor: Hashable, Sendable, Codable {
    package var mediaType: MediaType
    package var digest: Digest
    /// Length of the content in bytes; never negative after decoding.
    package var size: Int64
    package var platform: Platform?
    package var annotations: [String: String]?

    package init(
        mediaType: MediaType, digest: Digest, size: Int64, platform: Platform? = nil,
        annotations: [String: String]? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.platform = platform
        self.annotations = annotations
    }

    enum CodingKeys: CodingKey {
        case mediaType, digest, size, platform, annotations
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        mediaType = try container.decode(MediaType.self, forKey: .mediaType)
        digest = try container.decode(Digest.self, forKey: .digest)
        size = try container.decode(Int64.self, forKey: .size)
        platform = try container.decodeIfPresent(Platform.self, forKey: .platform)
        annotations = try container.decodeIfPresent([String: String].self, forKey: .annotations)
        guard size >= 0 else { throw OCIError("a descriptor has the negative size \(size)") }
    }
}
