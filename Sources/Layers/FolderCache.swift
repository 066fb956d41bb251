import Glibc
import SystemIO
import SystemPackage

/// The folders of a tree that is being written, found and made one component at a time.
struct FolderCache {
    /// An open folder and where it really is: no symlink on its path.
    final class Folder {
        let path: [UInt8]
        let directory: Directory

        init(path: [UInt8], directory: Directory) {
            self.path = path
            self.directory = directory
        }
    }

    /// What stands in the way of a folder.
    enum Obstacle {
        case nothing
        /// Overlayfs's mark that the name is deleted below.
        case whiteout
    }

    /// The kernel's own limit (MAXSYMLINKS of <linux/namei.h>).
    static let linkLimit = 40

    let root: Folder
    private let honoursWhiteouts: Bool
    /// By the path as entries write it, which may lead through symlinks.
    private var open: [[UInt8]: Folder] = [:]
    /// Descriptors kept open; archives visit folders in depth-first order, so few are in use at a time.
    private let limit = 64

    init(root: Directory, honoursWhiteouts: Bool) {
        self.root = Folder(path: [], directory: root)
        self.honoursWhiteouts = honoursWhiteouts
    }

    /// To be called when a folder or a symlink went away.
    mutating func forget() {
        open.removeAll(keepingCapacity: true)
    }

    /// The folder `path` of the tree, symlinks followed inside the root.
    ///
    /// - Parameter make: makes the missing folder of that name, given what is in its way; a missing folder is ENOENT without.
    mutating func folder(
        _ path: [UInt8], make: (Folder, [UInt8], Obstacle) throws(SystemError) -> Void
    ) throws(SystemError) -> Folder {
        if path.isEmpty { return root }
        if let folder = open[path] { return folder }
        // The longest part that is open, then on from there.
        var split = path.endIndex
        var folder = root
        while let slash = path[..<split].lastIndex(of: UInt8(ascii: "/")) {
            split = slash
            if let found = open[Array(path[..<slash])] {
                folder = found
                break
            }
            if path[..<slash].firstIndex(of: UInt8(ascii: "/")) == nil { break }
        }
        if folder === root { split = path.startIndex }
        var links = 0
        while split < path.endIndex {
            let start = path[split] == UInt8(ascii: "/") ? split + 1 : split
            let end = path[start...].firstIndex(of: UInt8(ascii: "/")) ?? path.endIndex
            folder = try step(from: folder, Array(path[start..<end]), &links, make)
            if open.count >= limit { open.removeAll(keepingCapacity: true) }
            open[Array(path[..<end])] = folder
            split = end
        }
        return folder
    }

    /// One component, with the symlinks that it stands for.
    private func step(
        from folder: Folder, _ name: [UInt8], _ links: inout Int,
        _ make: (Folder, [UInt8], Obstacle) throws(SystemError) -> Void
    ) throws(SystemError) -> Folder {
        var folder = folder
        var pending = [name]
        while let name = pending.popLast() {
            if name.elementsEqual("..".utf8) {
                folder = try parent(of: folder)
                continue
            }
            do {
                folder = try child(of: folder, name)
                continue
            } catch  where error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory {
                let status = try folder.directory.statusIfPresent(ofName: name)
                switch status {
                case nil: try make(folder, name, .nothing)
                case let status? where honoursWhiteouts && status.isOverlayWhiteout: try make(folder, name, .whiteout)
                case let status? where status.kind == .symlink:
                    links += 1
                    guard links <= FolderCache.linkLimit else {
                        throw SystemError(call: "open", path: FilePath(bytes: name), errno: .tooManySymbolicLinkLevels)
                    }
                    let target = try folder.directory.readLink(name: name)
                    if target.first == UInt8(ascii: "/") { folder = root }
                    for component in target.split(separator: UInt8(ascii: "/")).reversed()
                    where !component.elementsEqual(".".utf8) {
                        pending.append(Array(component))
                    }
                    continue
                default: throw error
                }
            }
            folder = try child(of: folder, name)
        }
        return folder
    }

    private func child(of folder: Folder, _ name: [UInt8]) throws(SystemError) -> Folder {
        let descriptor = try folder.directory.openName(name, O_PATH | O_DIRECTORY)
        let path = folder.path.isEmpty ? name : folder.path + [UInt8(ascii: "/")] + name
        return Folder(path: path, directory: Directory(taking: descriptor, path: FilePath()))
    }

    /// The root is its own parent.
    private func parent(of folder: Folder) throws(SystemError) -> Folder {
        guard let slash = folder.path.lastIndex(of: UInt8(ascii: "/")) else { return root }
        let path = Array(folder.path[..<slash])
        let descriptor = try root.directory.open(bytes: path, O_PATH | O_DIRECTORY, .noSymlinks)
        return Folder(path: path, directory: Directory(taking: descriptor, path: FilePath()))
    }
}
