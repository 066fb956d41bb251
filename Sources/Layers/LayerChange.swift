import Glibc
package import SystemIO
import SystemPackage

/// One entry of the layer that a RUN makes, and where its content is.
package struct LayerChange: Sendable, Hashable {
    package let entry: LayerEntry
    /// Of the file in the tree; 0 where nothing is.
    let inode: UInt64

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
