import Dockerfile
import OCI
import Registry

/// A file that ADD fetches from an http or https address.
struct RemoteFile: Sendable {
    /// Without user information.
    let url: HTTPURL
    let user: GitLocation.UserInformation?
    /// What `--checksum` demands.
    let checksum: Digest?

    static func isURL(_ text: String) -> Bool {
        text.hasPrefix("http://") || text.hasPrefix("https://")
    }

    /// - Throws: for an address that is none, and a checksum that is no SHA-256.
    init(parsing word: Word, checksum: Word?) throws(DockerfileError) {
        let address: String
        (address, user) = GitLocation.separateUser(word.text)
        guard let url = HTTPURL(parsing: RemoteFile.encoded(address)) else {
            throw DockerfileError("'\(address)' is not an http or https address", at: word.range)
        }
        self.url = url
        do { self.checksum = try checksum.map { try Digest(parsing: $0.text) } } catch {
            throw DockerfileError(
                "--checksum: \(error)", at: checksum?.range,
                hint: "the checksum of a file is written sha256:<64 hex digits>")
        }
    }

    /// The address with what no address may hold (blanks, letters beyond ASCII) as `%XX`.
    private static func encoded(_ address: String) -> String {
        var result = ""
        for character in address {
            let isPlain = character.utf8.allSatisfy { (0x21...0x7e).contains($0) } && !"\"<>\\^`{|}".contains(character)
            result += isPlain ? String(character) : HTTPURL.percentEncoded(String(character))
        }
        return result
    }

    /// The name that the file gets in a folder: the last element of the address's path, decoded; `nil` if there is none.
    ///
    /// It is that of the address as it is written: where redirects lead to is the server's affair. Names that are not UTF-8
    /// are none: a Dockerfile could not speak of them.
    var name: String? {
        guard let last = url.path.split(separator: "/").last else { return nil }
        guard let name = String(validating: GitLocation.percentDecodedBytes(last), as: UTF8.self) else { return nil }
        let isSafe = !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
        return isSafe && ![".", "..", ""].contains(name) ? name : nil
    }
}
