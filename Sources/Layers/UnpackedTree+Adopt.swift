import Glibc
package import SystemIO
import SystemPackage

extension UnpackedTree {
    /// Gives the implied folders of a tree the owner, mode, attributes and time that the layers below show at their paths:
    /// in a stack the topmost folder's attributes hold, and this layer says nothing of them.
    ///
    /// A path that is no folder below (a symlink that this layer's entries were meant to follow, say `lib64`) cannot be adopted: the
    /// folder of this tree would hide it.
    ///
    /// - Parameters:
    ///   - root: the tree that was unpacked, with the overlay convention.
    ///   - lower: the view of the layers below.
    /// - Returns: the paths that are something else than a folder below; sorted. Such a layer must be unpacked flat.
    package func adoptImpliedDirectories(in root: Directory, from lower: UnionTree) throws(LayerError) -> [[UInt8]] {
        var displaced: [[UInt8]] = []
        for path in impliedDirectories {
            guard let node = try lower.node(at: path) else { continue }
            guard node.status.kind == .directory else {
                displaced.append(path)
                continue
            }
            let attributes = try lower.attributes(node)
            do throws(SystemError) {
                let name = FilePath(bytes: path)
                let folder = try root.open(bytes: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, .noSymlinks)
                guard fchown(folder.raw, node.status.uid, node.status.gid) == 0 else { throw .last("fchown", name) }
                guard fchmod(folder.raw, mode_t(node.status.permissions)) == 0 else { throw .last("fchmod", name) }
                for attribute in attributes {
                    do throws(SystemError) {
                        try folder.setAttribute(attribute)
                    } catch  where error.errno == .notSupported || error.errno == .notPermitted {
                        // Told when the layer that has it was unpacked.
                    }
                }
                guard futimens(folder.raw, node.status.modified.asModificationTime) == 0 else {
                    throw .last("futimens", name)
                }
            } catch {
                throw .system(error)
            }
        }
        return displaced
    }
}
