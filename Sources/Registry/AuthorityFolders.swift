import Glibc
import Synchronization
import SystemIO
import SystemPackage

/// The certificates in the folders of `SSL_CERT_DIR`.
///
/// OpenSSL finds a certificate in a folder by the hash that its name has to be, which `c_rehash` makes. Kaniko, as all programs in Go, reads every
/// file instead, and a mounted ConfigMap has whatever names its keys have: so this does, too.
final class AuthorityFolders: Sendable {
    private let folders: [FilePath]
    private let read = Mutex<[UInt8]?>(nil)

    /// A bundle of all known authorities has 250 KB (bytes).
    private static let sizeLimit = 4 * 1024 * 1024

    init(_ folders: [FilePath]) {
        self.folders = folders
    }

    var isEmpty: Bool { folders.isEmpty }

    /// All their PEM files one after the other, read at the first call. What cannot be read has no certificates.
    func certificates() -> [UInt8] {
        read.withLock { known in
            if let known { return known }
            var all: [UInt8] = []
            for folder in folders { all += Self.certificates(in: folder) }
            known = all
            return all
        }
    }

    private static func certificates(in folder: FilePath) -> [UInt8] {
        guard let directory = try? Directory(opening: folder), let names = try? directory.sortedNames() else {
            return []
        }
        var seen: Set<[UInt8]> = []
        var all: [UInt8] = []
        for name in names {
            // Mounted files are links to links, and hashed names are links to files that are there, too.
            guard
                let file = try? directory.open(FilePath(bytes: name.bytes), O_RDONLY | O_NONBLOCK, .unrestricted),
                let bytes = read(file), String(decoding: bytes, as: UTF8.self).contains("-----BEGIN"),
                seen.insert(bytes).inserted
            else { continue }
            all += bytes + [UInt8(ascii: "\n")]
        }
        return all
    }

    /// A bundle's content.
    static func read(_ path: FilePath) -> [UInt8]? {
        guard let file = try? OwnedDescriptor.open(path, O_RDONLY | O_NONBLOCK) else { return nil }
        return read(file)
    }

    private static func read(_ file: borrowing OwnedDescriptor) -> [UInt8]? {
        guard (try? file.status().kind) == .file else { return nil }
        return try? file.readAll(limit: sizeLimit)
    }
}
