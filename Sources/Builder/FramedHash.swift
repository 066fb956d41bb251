import OCI
import SystemIO

/// A SHA-256 over a list of values, each with its length before it: no two lists have the same bytes.
struct FramedHash: ~Copyable {
    private var hasher = SHA256()

    mutating func add(_ bytes: [UInt8]) {
        add(Int64(bytes.count))
        hasher.update(bytes)
    }

    mutating func add(_ text: String) {
        add(Array(text.utf8))
    }

    mutating func add(_ digest: Digest) {
        add(digest.description)
    }

    mutating func add(_ texts: [String]) {
        add(Int64(texts.count))
        for text in texts { add(text) }
    }

    /// Eight bytes, the lowest first.
    mutating func add(_ number: Int64) {
        let bits = UInt64(bitPattern: number)
        hasher.update((0..<8).map { UInt8(truncatingIfNeeded: bits >> ($0 * 8)) })
    }

    consuming func finish() -> Digest {
        Digest(sha256: hasher.finish())
    }
}
