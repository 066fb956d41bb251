import Glibc
package import SystemIO
import SystemPackage

/// One entry of the layer that a RUN makes, and where its content is.
package struct LayerChange: Sendable, Hashable {
    package let entry: LayerEntry

    /// Opens the content of a regular file for reading.
    ///
    /// - Parameter root: the folder that the changes were read from.
    package func open(in root: Directory) throws(LayerError) -> OwnedDescriptor {
        do throws(SystemError) {
            return try root.open(bytes: entry.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, .noSymlinks)
        } catch {
            throw .system(error)
        }
    }
}

/// Gathers the changes of a tree while it is walked in canonical order.
///
/// The folders on the way to a change become entries too, with their attributes of now: programs that unpack layer by
/// layer would invent them. The root is an exception: it becomes an entry only when it is described itself.
struct ChangeCollector {
    private(set) var changes: [LayerChange] = []
    private var ancestors: [Ancestor] = []
    /// The first name of each file with several names, by inode.
    private var links: [UInt64: [UInt8]] = [:]

    private struct Ancestor {
        let path: [UInt8]
        /// Where to ask for its extended attributes.
        let directory: Directory
        let status: FileStatus
        var isTold: Bool
    }

    // MARK: The walk

    /// What follows is in this folder.
    mutating func enter(_ path: [UInt8], _ directory: Directory, _ status: FileStatus) {
        ancestors.append(Ancestor(path: path, directory: directory, status: status, isTold: path.isEmpty))
    }

    mutating func leave() {
        ancestors.removeLast()
    }

    // MARK: Changes

    /// The folder itself changed, or is new.
    mutating func describeFolder() throws(SystemError) {
        try tellAncestors()
        guard let folder = ancestors.last, folder.path.isEmpty else { return }
        try tell(folder)
    }

    mutating func addWhiteout(_ path: [UInt8]) throws(SystemError) {
        try tellAncestors()
        changes.append(LayerChange(entry: LayerEntry(path: path, kind: .whiteout)))
    }

    /// Anything but a folder is new or changed. Sockets are left out: no archive holds them, and none outlives its process.
    mutating func add(
        _ path: [UInt8], _ name: [UInt8], in directory: Directory, _ status: FileStatus
    ) throws(SystemError) {
        let kind: LayerEntry.Kind
        switch status.kind {
        case .socket, .directory: return
        case .file where status.linkCount > 1:
            if let first = links[status.inode] {
                kind = .hardLink(target: first)
            } else {
                links[status.inode] = path
                kind = .file(size: status.size)
            }
        case .file: kind = .file(size: status.size)
        case .symlink: kind = .symlink(target: try directory.readLink(name: name))
        case .characterDevice: kind = .characterDevice(status.node)
        case .blockDevice: kind = .blockDevice(status.node)
        case .fifo: kind = .fifo
        }
        try tellAncestors()
        changes.append(
            LayerChange(
                entry: LayerEntry(path: path, kind: kind, status, try directory.imageAttributes(ofName: name))))
    }

    private mutating func tellAncestors() throws(SystemError) {
        guard ancestors.last?.isTold == false else { return }
        for index in ancestors.indices where !ancestors[index].isTold {
            ancestors[index].isTold = true
            try tell(ancestors[index])
        }
    }

    private mutating func tell(_ folder: Ancestor) throws(SystemError) {
        changes.append(
            LayerChange(
                entry: LayerEntry(
                    path: folder.path, kind: .directory, folder.status, try folder.directory.imageAttributes(ofName: [])
                )))
    }
}

extension LayerEntry {
    /// An entry with the owner, mode and time that a file has.
    init(path: [UInt8], kind: Kind, _ status: FileStatus, _ attributes: [ExtendedAttribute]) {
        self.init(
            path: path, kind: kind, permissions: status.permissions, uid: status.uid, gid: status.gid,
            modified: status.modified, attributes: attributes)
    }
}

extension Directory {
    /// The extended attributes that belong to an image: without overlayfs's own. The empty name is the folder itself.
    func imageAttributes(ofName name: [UInt8]) throws(SystemError) -> [ExtendedAttribute] {
        try attributes(ofName: name).filter { !$0.name.isOverlayAttribute }
    }
}

extension Array<UInt8> {
    /// The path of a name in this folder.
    func joined(_ name: [UInt8]) -> [UInt8] {
        isEmpty ? name : self + [UInt8(ascii: "/")] + name
    }
}
