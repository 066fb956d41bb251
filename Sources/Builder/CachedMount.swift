import OCI

/// What a registry keeps of one cache mount: its files, as an ordinary layer.
///
/// A document, as `CacheRecord` is: anybody may have written it.
struct CachedMount: Sendable, Hashable, Codable {
    /// The name of `CacheMounts.Key`.
    let key: String
    /// As the Dockerfile calls it, for people.
    let id: String
    let layer: CacheRecord.Layer
    /// Bytes of all its files.
    let bytes: Int64
    /// When a RUN last wrote to it, in seconds since 1970.
    let used: Int64

    var isSound: Bool {
        key.utf8.count == 64 && bytes >= 0 && layer.descriptor.mediaType.layerCompression != nil
    }
}
