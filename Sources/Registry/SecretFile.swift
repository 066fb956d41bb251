import Glibc
import SystemIO
import SystemPackage

/// Short files that hold one secret, as Kubernetes mounts them.
enum SecretFile {
    /// More than any token has (bytes).
    private static let sizeLimit = 64 * 1024

    /// The file's text without the blanks and line ends around it.
    ///
    /// - Parameter variable: where the path comes from, for error texts.
    /// - Throws: kind `credentials` when it cannot be read, is empty, or is no text that may stand in a header.
    static func read(_ path: String, named variable: String) throws(RegistryError) -> String {
        let path = FilePath(path)
        func failure(_ reason: String, hint: String? = nil) -> RegistryError {
            RegistryError(.credentials, message: "\(variable): \(reason)", hint: hint)
        }
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try OwnedDescriptor.open(path, O_RDONLY).readAll(limit: sizeLimit)
        } catch {
            let named = SystemError(call: error.call, path: path, errno: error.errno)
            throw failure(
                named.description,
                hint: error.errno == .noSuchFileOrDirectory ? "is the token mounted into this container?" : nil)
        }
        var text = String(decoding: bytes, as: UTF8.self)[...].drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        guard !text.isEmpty else { throw failure("the file '\(path.printable)' is empty") }
        // A line end inside would let a token add headers of its own.
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw failure("the file '\(path.printable)' holds something other than one token")
        }
        return String(text)
    }
}
