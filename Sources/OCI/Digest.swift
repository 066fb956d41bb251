// https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#digests

/// The SHA-256 name of some content. A value of this type is always valid.
///
/// Only `sha256` is implemented: it is the one algorithm that every registry stores under.
package struct Digest: Hashable, Sendable {
    /// Length of the hash in bytes.
    package static let byteCount = 32

    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// Takes the raw hash.
    ///
    /// - Precondition: `sha256` has exactly 32 bytes; hashes come from our own hasher, never from input.
    package init(sha256 bytes: [UInt8]) {
        precondition(bytes.count == Digest.byteCount, "a SHA-256 hash has 32 bytes")
        func word(_ index: Int) -> UInt64 {
            bytes[(index * 8)..<(index * 8 + 8)].reduce(0) { $0 << 8 | UInt64($1) }
        }
        words = (word(0), word(1), word(2), word(3))
    }

    /// Reads `sha256:<64 lower-case hex digits>`.
    package init(parsing text: some StringProtocol) throws(OCIError) {
        let prefix = "sha256:"
        guard text.hasPrefix(prefix) else {
            throw OCIError(
                "'\(printable(text))' is not a digest that can be used here: expected sha256:<64 hex digits>")
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Digest.byteCount)
        var high: UInt8?
        for character in text.utf8.dropFirst(prefix.utf8.count) {
            guard let nibble = Digest.nibble(character), bytes.count < Digest.byteCount else {
                throw OCIError("'\(printable(text))' is not a sha256 digest: expected 64 lower-case hex digits")
            }
            if let first = high {
                bytes.append(first << 4 | nibble)
                high = nil
            } else {
                high = nibble
            }
        }
        guard bytes.count == Digest.byteCount, high == nil else {
            throw OCIError("'\(printable(text))' is not a sha256 digest: expected 64 lower-case hex digits")
        }
        self.init(sha256: bytes)
    }

    private static func nibble(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    /// The 64 hex digits, which name the blob's file in a store or layout.
    package var hex: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(unsafeUninitializedCapacity: 64) { buffer in
            var at = 0
            for word in [words.0, words.1, words.2, words.3] {
                for shift in stride(from: 60, through: 0, by: -4) {
                    buffer[at] = digits[Int(word >> UInt64(shift) & 0xf)]
                    at += 1
                }
            }
            return at
        }
    }

    package static func == (a: Digest, b: Digest) -> Bool {
        a.words == b.words
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
    }
}

extension Digest: CustomStringConvertible {
    package var description: String { "sha256:\(hex)" }
}

extension Digest: Codable {
    package init(from decoder: any Decoder) throws {
        try self.init(parsing: decoder.singleValueContainer().decode(String.self))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
