import Glibc
import SystemIO
import SystemPackage

/// The plain files that a command in a chroot finds at its `/proc`: empty, with the names that the builder's has.
///
/// They answer what `ProcSupervisor` does not stop: `stat`, `test -e`, `cd`, a symlink of the image that leads here. They are made for one
/// run, and never part of a layer.
enum ProcSkeleton {
    /// - Parameter folder: new and empty.
    static func fill(_ folder: Directory) throws(SystemError) {
        let kernel = try Directory(opening: "/proc")
        // One level, as the kernel has it; but the settings with all that is below.
        for name in try kernel.names() where !isProcess(name) {
            try copy(name, from: kernel, to: folder, depth: name == "sys" ? 3 : 0)
        }
        for (name, target) in [("mounts", "self/mounts"), ("net", "self/net")] as [(FilePath, FilePath)] {
            try folder.makeSymlink(name, to: target)
        }
        for name in ["self", "thread-self"] as [FilePath] {
            try FlatGuests.makeFolder(name, in: folder)
            try fillProcess(try folder.openDirectory(name, .noSymlinks), like: try Directory(opening: "/proc/self"))
        }
    }

    private static func fillProcess(_ folder: Directory, like process: Directory) throws(SystemError) {
        for name in try process.names() { try copy(name, from: process, to: folder, depth: 0) }
        // The supervisor follows these; who asks only whether they exist finds a link that leads to something.
        for (name, target) in [("exe", "/proc/self/status"), ("cwd", "/"), ("root", "/")] as [(FilePath, FilePath)] {
            try folder.makeSymlink(name, to: target)
        }
        // A link of the image that leads to a standard stream ends here: for every user to write to.
        let streams = try folder.openDirectory("fd", .noSymlinks)
        for name in ["0", "1", "2"] as [FilePath] { try makeFile(name, in: streams, mode: 0o666) }
    }

    private static func isProcess(_ name: FilePath) -> Bool {
        ["self", "thread-self"].contains(name) || name.bytes.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Copies a name; of a folder also what is in it, `depth` levels deep.
    private static func copy(
        _ name: FilePath, from source: Directory, to folder: Directory, depth: Int
    ) throws(SystemError) {
        // A name of /proc may go at any moment.
        guard let status = try? source.statusIfPresent(of: name) else { return }
        switch status.kind {
        case .symlink: break
        case .directory:
            try FlatGuests.makeFolder(name, in: folder)
            guard depth > 0, let inner = try? source.openDirectory(name, .noSymlinks),
                let names = try? inner.names()
            else { return }
            let made = try folder.openDirectory(name, .noSymlinks)
            for name in names { try copy(name, from: inner, to: made, depth: depth - 1) }
        default: try makeFile(name, in: folder, mode: 0o444)
        }
    }

    private static func makeFile(_ name: FilePath, in folder: Directory, mode: UInt32) throws(SystemError) {
        let file = try folder.open(name, O_CREAT | O_EXCL | O_WRONLY, mode: mode, .noSymlinks)
        guard fchmod(file.raw, mode_t(mode)) == 0 else { throw .last("fchmod", name) }
    }
}
