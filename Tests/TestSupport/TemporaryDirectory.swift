package import Glibc
package import SystemPackage

/// A new, empty folder that is removed with this object.
///
/// Removal never goes through a mount: a mount point left by a failed test stays, with what is mounted there.
package final class TemporaryDirectory: Sendable {
    package let path: FilePath

    package init() throws {
        var template = Array("/tmp/imgbuild-test.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
        path = FilePath(platformString: template)
    }

    deinit {
        _ = try? Program.run(["rm", "-rf", "--one-file-system", path.string])
    }

    /// The place of `name`, which may have several components, in this folder.
    package func appending(_ name: String) -> FilePath { path.appending(name) }

    /// Makes the folder `name` and those above it, if they are missing.
    @discardableResult
    package func makeDirectory(_ name: String) throws -> FilePath {
        let made = path.appending(name)
        try Program.require(["mkdir", "-p", made.string])
        return made
    }

    /// Writes a file and makes the folders above it; its mode is `mode`, whatever the umask.
    @discardableResult
    package func write(_ text: String, to name: String, mode: mode_t = 0o644) throws -> FilePath {
        try write(Array(text.utf8), to: name, mode: mode)
    }

    /// Writes a file and makes the folders above it; its mode is `mode`, whatever the umask.
    @discardableResult
    package func write(_ bytes: [UInt8], to name: String, mode: mode_t = 0o644) throws -> FilePath {
        let file = path.appending(name)
        if file.removingLastComponent() != path {
            try Program.require(["mkdir", "-p", file.removingLastComponent().string])
        }
        let descriptor = try FileDescriptor.open(
            file, .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: FilePermissions(rawValue: 0o600)
        )
        try descriptor.closeAfter {
            _ = try descriptor.writeAll(bytes)
            guard fchmod(descriptor.rawValue, mode) == 0 else { throw Errno(rawValue: errno) }
        }
        return file
    }
}

/// All bytes of a file.
package func contents(of file: FilePath) throws -> [UInt8] {
    let descriptor = try FileDescriptor.open(file, .readOnly, options: [.closeOnExec])
    return try descriptor.closeAfter {
        var bytes = [UInt8]()
        var chunk = [UInt8](repeating: 0, count: 256 * 1024)
        while true {
            let count = try chunk.withUnsafeMutableBytes { try descriptor.read(into: $0) }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
        }
    }
}

/// The text of a file; what is not UTF-8 in it is replaced.
package func text(of file: FilePath) throws -> String {
    String(decoding: try contents(of: file), as: UTF8.self)
}
