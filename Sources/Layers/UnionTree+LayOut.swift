import Glibc
package import SystemIO
import SystemPackage

extension UnionTree {
    /// Makes the tree that this view shows: folders with all their attributes, everything else as hard links to the files
    /// of the stacked trees. Costs no space but for folders.
    ///
    /// - Parameter root: an empty folder on the file system of the trees, which are all unpacked. After a failure a part is there.
    package func layOut(in root: Directory, cancellation: Cancellation) throws(LayerError) {
        var folders: [(path: [UInt8], status: FileStatus)] = []
        // The parent of the last node: names of one folder come one after the other.
        var parent = (path: [UInt8](), directory: root)
        try walk(from: []) { node throws(LayerError) in
            guard !cancellation.isCancelled else { throw .cancelled }
            let attributes = node.status.kind == .directory ? try self.attributes(node) : []
            if parent.path != node.path.parent {
                let path = node.path.parent
                let opened = try system { () throws(SystemError) in
                    try root.open(bytes: path, O_PATH | O_DIRECTORY, .noSymlinks)
                }
                parent = (path, Directory(taking: opened, path: FilePath()))
            }
            if node.status.kind == .directory {
                let folder = parent.directory
                try system { () throws(SystemError) in
                    if !node.path.isEmpty { try folder.makeDirectory(FilePath(bytes: node.name), mode: 0o700) }
                    for attribute in attributes { try folder.setAttribute(attribute, onName: node.name) }
                }
                folders.append((node.path, node.status))
            } else {
                try self.link(node, to: node.name, in: parent.directory)
            }
            return .goOn
        }
        // Inner ones first: making something in a folder changes its time.
        for (path, status) in folders.reversed() {
            try system { () throws(SystemError) in
                try root.open(bytes: path, O_RDONLY | O_DIRECTORY, .noSymlinks)
                    .setOwnerModeAndTime(status, naming: FilePath(bytes: path))
            }
        }
    }
}
