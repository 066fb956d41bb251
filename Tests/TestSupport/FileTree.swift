package import Glibc
package import SystemPackage

/// True if this process may give files to any user.
package let isRoot = geteuid() == 0

/// All files below a folder, as lstat sees them.
package struct FileTree: Sendable {
    package enum Kind: String, Sendable {
        case file, dir, symlink, other
    }

    package struct Entry: Sendable, Equatable {
        package let kind: Kind
        /// Permission bits with setuid, setgid and sticky.
        package let mode: mode_t
        package let uid: uid_t
        package let gid: gid_t
        /// In bytes; 0 for all but files.
        package let size: Int
        /// Where a symlink points, as written.
        package let target: FilePath?
        /// SHA-256 of a file's content, in hexadecimal.
        package let sha256: String?
        /// Values of the extended attributes by name, in getfattr's hexadecimal (`0x0100...`).
        package let attributes: [String: String]
        /// Last change of the content, in seconds since 1970.
        package let modified: Int
        /// A number that the hard links of one file share.
        package let inode: UInt64
    }

    package let root: FilePath
    /// By absolute path in the tree; the tree's own root is `/`.
    package let entries: [FilePath: Entry]

    package init(listing root: FilePath) throws {
        self.root = root
        var found: [FilePath: Entry] = [:]
        try Self.list(root, as: "/", judged: Judgement(of: root), into: &found)
        entries = found
    }

    /// The content of the file at `path` in the tree. Parents of `path` must not be symlinks.
    package func contents(of path: FilePath) throws -> [UInt8] {
        try TestSupport.contents(of: root.pushing(FilePath(root: nil, path.components)))
    }

    private static func list(
        _ path: FilePath, as name: FilePath, judged: Judgement, into found: inout [FilePath: Entry]
    ) throws {
        let entry = try Entry(path, judged: judged)
        found[name] = entry
        guard entry.kind == .dir else { return }
        for child in try names(in: path) {
            try list(path.appending(child), as: name.appending(child), judged: judged, into: &found)
        }
    }

    private static func names(in folder: FilePath) throws -> [FilePath.Component] {
        guard let stream = folder.withPlatformString({ opendir($0) }) else { throw Errno(rawValue: errno) }
        defer { closedir(stream) }
        var names: [FilePath.Component] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { FilePath.Component(platformString: $0) }
            }
            if let name, name.kind == .regular { names.append(name) }
        }
        return names
    }
}

extension FileTree.Entry {
    fileprivate init(_ path: FilePath, judged: Judgement) throws {
        var status = stat()
        guard path.withPlatformString({ lstat($0, &status) }) == 0 else { throw Errno(rawValue: errno) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .dir
        case S_IFLNK: kind = .symlink
        default: kind = .other
        }
        mode = status.st_mode & 0o7777
        uid = status.st_uid
        gid = status.st_gid
        size = kind == .file ? Int(status.st_size) : 0
        modified = status.st_mtim.tv_sec
        inode = UInt64(status.st_ino)
        target = kind == .symlink ? try Self.target(of: path) : nil
        sha256 = kind == .file ? judged.sha256[inode] : nil
        attributes = judged.attributes[path] ?? [:]
    }

    private static func target(of path: FilePath) throws -> FilePath {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let length = path.withPlatformString { readlink($0, &buffer, Int(PATH_MAX)) }
        guard length >= 0 else { throw Errno(rawValue: errno) }
        return FilePath(platformString: buffer)
    }
}

/// What sha256sum and getfattr say of all files below a folder.
private struct Judgement {
    /// By inode: each of many hard links (busybox has hundreds) has the one content.
    var sha256: [UInt64: String] = [:]
    /// By whole path.
    var attributes: [FilePath: [String: String]] = [:]

    init(of root: FilePath) throws {
        let sums = try Program.require([
            "sh", "-c",
            #"find "$1" -type f -printf '%i %p\0' | sort -z -u -n -k1,1 | cut -z -d' ' -f2- | xargs -0 -r sha256sum -z"#,
            "sums", root.string,
        ])
        for line in sums.output.split(separator: 0) {
            // sixty-four digits, two blanks, the path
            let path = line.dropFirst(66).map { CChar(bitPattern: $0) } + [0]
            var status = stat()
            guard lstat(path, &status) == 0 else { throw Errno(rawValue: errno) }
            sha256[UInt64(status.st_ino)] = String(decoding: line.prefix(64), as: UTF8.self)
        }

        let dump = try Program.require([
            "getfattr", "--recursive", "--physical", "--no-dereference", "--dump", "--match=-", "--encoding=hex",
            "--absolute-names", root.string,
        ])
        var file = root
        for line in dump.text.split(separator: "\n") {
            if line.hasPrefix("# file: ") {
                file = FilePath(String(line.dropFirst("# file: ".count)))
            } else if let equals = line.firstIndex(of: "=") {
                attributes[file, default: [:]][String(line[..<equals])] = String(line[line.index(after: equals)...])
            }
        }
    }
}
