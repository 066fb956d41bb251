import OCI
import Testing

@Suite("Digests")
struct DigestTests {
    static let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    @Test("a digest is printed as it was read")
    func roundTrip() throws {
        let digest = try Digest(parsing: Self.empty)
        #expect(digest.description == Self.empty)
        #expect(digest.hex == Self.empty.dropFirst("sha256:".count))
        #expect(try digest == Digest(parsing: Self.empty))
        #expect(digest != Digest(sha256: [UInt8](repeating: 0, count: 32)))
    }

    @Test(
        "what is no sha256 digest is refused",
        arguments: [
            "", "sha256:", "sha256:abc", "sha512:" + String(repeating: "a", count: 128),
            "sha256:" + String(repeating: "A", count: 64), "sha256:" + String(repeating: "a", count: 63),
            "sha256:" + String(repeating: "a", count: 65), "sha256:" + String(repeating: "g", count: 64),
            "sha256:../../../../etc/passwd" + String(repeating: "a", count: 39), String(repeating: "a", count: 64),
        ])
    func refused(_ text: String) {
        #expect(throws: OCIError.self) { try Digest(parsing: text) }
    }
}
