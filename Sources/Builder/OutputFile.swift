import Glibc
import SystemIO
import SystemPackage

/// A file that the user asked for: it appears whole, or not at all.
enum OutputFile {
    /// Writes aside and renames; what was there before stays until then. Missing folders are made.
    ///
    /// A device, a pipe and a file that something is mounted on (a pod's `/dev/termination-log`) cannot be renamed over: they
    /// are written in place.
    static func write(_ bytes: [UInt8], to path: FilePath) throws {
        if let existing = try? OwnedDescriptor.open(path, O_PATH).status(), existing.kind != .file {
            return try writeInPlace(bytes, path)
        }
        let aside = try temporaryPath(for: path)
        do {
            let file = try OwnedDescriptor.open(aside, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
            try file.writeAll(bytes)
            try file.close()
            try rename(aside, to: path)
        } catch {
            unlink(aside.string)
            guard let error = error as? SystemError, error.errno == .resourceBusy else { throw error }
            try writeInPlace(bytes, path)
        }
    }

    /// Makes sure that a file can be written to `path`, as far as that can be told without writing.
    ///
    /// - Throws: `SystemError` or `BuildError` for a folder in its place, and for a folder above it that does not let files be made.
    static func check(_ path: FilePath) throws {
        guard path.lastComponent != nil else { throw BuildError("it names no file") }
        if let existing = try? OwnedDescriptor.open(path, O_PATH).status() {
            guard existing.kind != .directory else { throw BuildError("it is a folder") }
            // A device or a pipe is written in place.
            guard existing.kind == .file else { return }
        }
        var folder = path.removingLastComponent()
        // Folders that are missing are made, below the first one that is there.
        while !folder.isEmpty, access(folder.string, F_OK) != 0, errno == ENOENT {
            folder = folder.removingLastComponent()
        }
        let place: FilePath = folder.isEmpty ? "." : folder
        guard try OwnedDescriptor.open(place, O_PATH).status().kind == .directory else {
            throw BuildError("'\(place.printable)' is no folder")
        }
        guard access(place.string, W_OK | X_OK) == 0 else { throw SystemError.last("access", place) }
    }

    private static func writeInPlace(_ bytes: [UInt8], _ path: FilePath) throws {
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_TRUNC)
        try file.writeAll(bytes)
        try file.close()
    }

    /// A name beside the file, on the same file system, that no other process uses.
    static func temporaryPath(for path: FilePath) throws -> FilePath {
        guard let name = path.lastComponent else { throw BuildError("'\(path.printable)' names no file") }
        let folder = path.removingLastComponent()
        if !folder.isEmpty { _ = try Directory(creating: folder) }
        return folder.appending(".\(name.string).imgbuild-\(getpid())")
    }

    static func rename(_ old: FilePath, to new: FilePath) throws {
        guard Glibc.rename(old.string, new.string) == 0 else { throw SystemError.last("rename", new) }
    }
}
