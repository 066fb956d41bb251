import Glibc
import Layers
import OCI
import SystemIO
import SystemPackage
import TestSupport
import Testing

/// A folder for one test, removed with all that is in it, and the shell to fill it with real tools.
final class Workbench {
    struct ScriptFailure: Error, CustomStringConvertible {
        let description: String
    }

    let directory: Directory

    init() throws {
        var template = Array("/tmp/imgbuild-layers-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
        directory = try Directory(opening: FilePath(platformString: template))
    }

    deinit {
        // Not removeTree: trees of tests may be deeper than our own descriptors allow.
        _ = try? Workbench.spawn(["/bin/rm", "-rf", directory.path.string], output: "/dev/null")
    }

    /// Runs a script with the folder as its working directory and gives back what it prints.
    @discardableResult
    func sh(_ script: String) throws -> String {
        let output = directory.path.appending(".output")
        let status = try Workbench.spawn(
            ["/bin/bash", "-c", "set -euo pipefail; umask 022; \(noise); cd '\(directory.path.string)'; \(script)"],
            output: output.string)
        let text = String(decoding: try OwnedDescriptor.open(output, O_RDONLY).readAll(limit: 1 << 24), as: UTF8.self)
        guard status == 0 else { throw ScriptFailure(description: "status \(status): \(script)\n\(text)") }
        return text
    }

    /// Runs a Python program in the folder.
    func python(_ program: String) throws {
        try sh("python3 - <<'END_OF_PYTHON'\nimport tarfile, io, os\n\(program)\nEND_OF_PYTHON")
    }

    /// Makes a tar from entries in the words of Python's tarfile: `add(name, type, **fields)` and `file(name, bytes)`.
    func tar(_ entries: String) throws {
        try tar("layer.tar", entries)
    }

    func tar(_ name: String, _ entries: String) throws {
        try python(
            """
            t = tarfile.open('\(name)', 'w', format=tarfile.PAX_FORMAT)
            def add(name, type=tarfile.REGTYPE, data=b'', **fields):
                i = tarfile.TarInfo(name); i.type = type; i.size = len(data); i.mode = 0o755 if type == tarfile.DIRTYPE else 0o644
                for k, v in fields.items(): setattr(i, k, v)
                t.addfile(i, io.BytesIO(data))
            def folder(name, **f): add(name, tarfile.DIRTYPE, **f)
            def file(name, data=b'', **f): add(name, tarfile.REGTYPE, data, **f)
            def symlink(name, to, **f): add(name, tarfile.SYMTYPE, linkname=to, **f)
            def link(name, to, **f): add(name, tarfile.LNKTYPE, linkname=to, **f)
            def raw(data):
                t.fileobj.write(data); t.offset += len(data)
            def header(name, type, size):
                h = bytearray(512); h[0:len(name)] = name; h[100:107] = b'0000644'; h[108:115] = b'0000000'; h[116:123] = b'0000000'
                h[124:135] = b'%011o' % size if size < 8**11 else bytes([128]) + size.to_bytes(10, 'big'); h[136:147] = b'0' * 11
                h[148:156] = b' ' * 8; h[156:157] = type; h[257:265] = b'ustar\\x0000'
                h[148:156] = b'%06o\\x00 ' % sum(h); return bytes(h)
            def pax(records): return header(b'pax', b'x', len(records)) + records + bytes(-len(records) % 512)
            \(entries)
            t.close()
            """)
    }

    func open(_ name: String) throws -> OwnedDescriptor {
        try OwnedDescriptor.open(directory.path.appending(name), O_RDONLY)
    }

    func folder(_ name: String) throws -> Directory {
        try Directory(creating: directory.path.appending(name))
    }

    /// Unpacks a file of the folder; the diffID is what `gunzip`/`unzstd`/`cat` and `sha256sum` say.
    @discardableResult
    func unpack(
        _ name: String = "layer.tar", _ compression: MediaType.Compression = .none, into tree: String = "tree",
        _ convention: TreeConvention = .overlay(.trusted), on lower: UnionTree? = nil
    ) throws -> UnpackedTree {
        let tool = [MediaType.Compression.none: "cat", .gzip: "gzip -dc", .zstd: "zstd -dcq"][compression] ?? "cat"
        let hex = try sh("\(tool) \(name) | sha256sum | cut -c1-64").trimmed
        return try LayerUnpacker.unpack(
            blob: open(name), compression: compression, expecting: Digest(parsing: "sha256:\(hex)"),
            name: "sha256:test",
            into: folder(tree), convention: convention, on: lower, cancellation: Cancellation())
    }

    private static func spawn(_ arguments: [String], output: String) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for argument in argv { free(argument) } }
        var pid = pid_t()
        let result = posix_spawn(&pid, arguments[0], &actions, nil, &argv, environ)
        guard result == 0 else { throw SystemError(call: "posix_spawn", errno: Errno(rawValue: result)) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }
}

extension String {
    var trimmed: String {
        var text = self[...]
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    /// Lines without empty ones.
    var lines: [String] { split(separator: "\n").map(String.init) }

    var bytes: [UInt8] { Array(utf8) }
}

extension LayerError {
    /// Whether the layer itself is blamed.
    var blamesLayer: Bool {
        if case .invalid = self { return true }
        return false
    }
}
