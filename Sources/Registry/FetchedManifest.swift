import FoundationEssentials
package import OCI
import SystemIO

/// A manifest or index exactly as the registry gave it.
package struct FetchedManifest: Sendable, Hashable {
    /// Type, digest and size of `bytes`.
    package let descriptor: Descriptor
    package let bytes: [UInt8]

    /// Takes an answer and makes sure what it is.
    ///
    /// - Parameters:
    ///   - bytes: the body of the answer.
    ///   - contentType: the header of the answer, if it has one.
    ///   - expected: the digest that was asked for, if it was asked by digest.
    ///   - request: what was asked, for error texts.
    /// - Throws: kind `content` when the digest differs, `answer` when this is no manifest or does not say clearly which kind.
    init(
        bytes: [UInt8], contentType: String?, expected: Digest?, request: String
    ) throws(RegistryError) {
        let digest = Digest(sha256: SHA256.hash(bytes))
        if let expected, expected != digest {
            throw RegistryError(
                .content, request: request, message: "the registry sent a manifest with the digest \(digest)")
        }
        func failure(_ message: String, hint: String? = nil) -> RegistryError {
            RegistryError(.answer, request: request, message: message, hint: hint)
        }
        guard let shape = try? JSONDecoder().decode(Shape.self, from: Data(bytes)) else {
            throw failure(
                "the answer is not a manifest", hint: "is this really a registry, or the login page of a proxy?")
        }
        let header = contentType.map { String($0.prefix { $0 != ";" && $0 != " " }).lowercased() }
        // A server that knows nothing of manifests calls them JSON or text.
        let named = header.flatMap { FetchedManifest.isManifestType($0) ? $0 : nil }
        if shape.schemaVersion == 1 || (named ?? shape.mediaType ?? "").contains("manifest.v1+prettyjws") {
            throw failure(
                "this image has a schema 1 manifest, a format that Docker retired in 2019",
                hint: "push it again with a current client")
        }
        if let named, let written = shape.mediaType, named != written {
            throw failure(
                "the registry calls this manifest \(printable(named)), and it calls itself \(printable(written))")
        }
        guard let type = (named ?? shape.mediaType).map(MediaType.init(rawValue:)) ?? shape.guess else {
            throw failure("the answer is not a manifest that says what it is")
        }
        guard type.isIndex || type.isManifest else {
            throw failure("manifests of the type \(printable(type.rawValue)) are not images")
        }
        // A document that is both would be read differently by different clients.
        guard type.isIndex ? shape.layers == nil && shape.config == nil : shape.manifests == nil else {
            throw failure("the document is an image manifest and an index at the same time")
        }
        descriptor = Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count))
        self.bytes = bytes
    }

    private static func isManifestType(_ type: String) -> Bool {
        type.hasPrefix("application/vnd.")
    }

    private struct Shape: Decodable {
        let schemaVersion: Int?
        let mediaType: String?
        let config: Presence?
        let layers: Presence?
        let manifests: Presence?

        /// OCI documents need not say what they are.
        var guess: MediaType? {
            if manifests != nil { return .ociIndex }
            return config != nil && layers != nil ? .ociManifest : nil
        }
    }

    /// Something is there; what it is, is for others to read.
    private struct Presence: Decodable {
        init(from decoder: any Decoder) throws {}
    }
}
