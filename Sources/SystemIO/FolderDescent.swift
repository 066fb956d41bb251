import Glibc
import SystemPackage

/// The open folders on the way from the top of a tree down to where a walk is.
///
/// A tree may be deeper than a process may have open files, and its paths longer than the kernel takes. So only the inner
/// folders stay open; an outer one is opened again by `..` when the walk comes back, and must be the same folder then. The tree
/// is at rest meanwhile: a folder that was moved is an error (ESTALE), never another place.
package struct FolderDescent {
    private struct Level {
        /// `nil` while it is closed.
        var directory: Directory?
        /// What tells it from other folders, noted when it was closed.
        var device: UInt64 = 0
        var inode: UInt64 = 0
    }

    /// Descriptors kept open by one walk: a few walks at a time fit the usual limit of 1024 for all files of a process.
    package static let openLimit = 64

    private var levels: [Level]
    /// The folder where the walk is, always open.
    package private(set) var current: Directory

    package init(from top: Directory) {
        levels = [Level(directory: top)]
        current = top
    }

    /// How many folders lie above the current one.
    package var depth: Int { levels.count - 1 }

    /// Goes on in a folder of the current one.
    package mutating func enter(_ folder: Directory) throws(SystemError) {
        levels.append(Level(directory: folder))
        current = folder
        let outer = levels.count - 1 - FolderDescent.openLimit
        // The top is the caller's.
        guard outer > 0, let closing = levels[outer].directory else { return }
        let status = try closing.descriptor.status()
        levels[outer] = Level(directory: nil, device: status.device, inode: status.inode)
    }

    /// Goes on in the folder of that name, which is not followed when it is a symlink.
    package mutating func enter(named name: [UInt8]) throws(SystemError) {
        try enter(
            Directory(taking: try current.openName(name, O_RDONLY | O_DIRECTORY), path: FilePath(bytes: name)))
    }

    /// Goes back to the folder above, if the current one is not the top.
    package mutating func leave() throws(SystemError) {
        guard levels.count > 1 else { return }
        levels.removeLast()
        let level = levels[levels.count - 1]
        if let directory = level.directory {
            current = directory
            return
        }
        let parent = try current.openName(Array("..".utf8), O_RDONLY | O_DIRECTORY)
        let status = try parent.status()
        guard status.device == level.device, status.inode == level.inode else {
            throw SystemError(call: "openat", path: "..", errno: Errno(rawValue: ESTALE))
        }
        current = Directory(taking: parent, path: current.path)
        levels[levels.count - 1].directory = current
    }
}
