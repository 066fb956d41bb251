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
    /// What lies below the tree: its symlinks lead on where the tree itself has nothing.
    private var lower: UnionTree?
    /// Where symlinks of lower layers are that led on.
    private var followed: Set<[UInt8]> = []
    /// By the path as entries write it, which may lead through symlinks.
    private var open: [[UInt8]: Folder] = [:]
    /// Descriptors kept open; archives visit folders in depth-first order, so few are in use at a time.
    private let limit = 64

    init(root: Directory, honoursWhiteouts: Bool, lower: UnionTree? = nil) {
        self.root = Folder(path: [], directory: root)
        self.honoursWhiteouts = honoursWhiteouts
        self.lower = lower
    }

    /// The folder, if it was used a short while ago.
    func known(_ path: [UInt8]) -> Folder? {
        path.isEmpty ? root : open[path]
    }

    /// To be called when a folder or a symlink went away.
    mutating func forget() {
        open.removeAll(keepingCapacity: true)
    }

    /// To be called when something was put into the tree under a real path: it hides what lower layers have there.
    mutating func hide(_ path: [UInt8]) {
        if !followed.isEmpty, followed.remove(path) != nil { forget() }
    }

    /// To be called when all of the lower layers is deleted.
    mutating func hideAll() {
        lower = nil
        forget()
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
    private mutating func step(
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
                var target: [UInt8]?
                switch status {
                case nil:
                    target = try lowerLink(name, in: folder)
                    if target != nil { followed.insert(folder.path.joined(name)) }
                case let status? where status.kind == .symlink: target = try folder.directory.readLink(name: name)
                case let status? where honoursWhiteouts && status.isOverlayWhiteout: break
                default: throw error
                }
                if let target {
                    links += 1
                    guard links <= FolderCache.linkLimit else {
                        throw SystemError(call: "open", path: FilePath(bytes: name), errno: .tooManySymbolicLinkLevels)
                    }
                    if target.first == UInt8(ascii: "/") { folder = root }
                    for component in target.split(separator: UInt8(ascii: "/")).reversed()
                    where !component.elementsEqual(".".utf8) {
                        pending.append(Array(component))
                    }
                    continue
                }
                try make(folder, name, status == nil ? .nothing : .whiteout)
            }
            folder = try child(of: folder, name)
        }
        return folder
    }

    /// The target of the symlink that a lower layer has there, if the tree itself does not hide it.
    ///
    /// - Throws: ENOTDIR where a lower layer has anything else that is no folder.
    private func lowerLink(_ name: [UInt8], in folder: Folder) throws(SystemError) -> [UInt8]? {
        guard let lower else { return nil }
        do throws(LayerError) {
            guard let node = try lower.node(at: folder.path.joined(name)), node.status.kind != .directory else {
                return nil
            }
            var path = folder.path
            while !path.isEmpty {
                let parent = path.parent
                let holder = try system { () throws(SystemError) in
                    Directory(
                        taking: try root.directory.open(bytes: parent, O_PATH | O_DIRECTORY, .noSymlinks),
                        path: FilePath())
                }
                let isOpaque = try system { () throws(SystemError) in
                    try UnionFolder.hasOpaqueAttribute(holder, path.lastComponent)
                }
                if isOpaque { return nil }
                path = parent
            }
            guard node.status.kind == .symlink else {
                throw .system(SystemError(call: "open", path: FilePath(bytes: name), errno: .notDirectory))
            }
            return try lower.readLink(node)
        } catch {
            guard case .system(let error) = error else { throw SystemError(call: "readlinkat", errno: .ioError) }
            throw error
        }
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
