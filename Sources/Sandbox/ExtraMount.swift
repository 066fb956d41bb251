import Glibc
package import SystemIO
package import SystemPackage

/// Something shown inside the root while the command runs, and never part of the layer. Needs the overlay isolation.
package enum ExtraMount: Sendable, Hashable {
    /// A file or a folder of the builder's. Device nodes in a folder stay dead.
    case bind(SpawnStep.Source, target: FilePath, readOnly: Bool)
    /// A file or folder of stacked trees.
    case view(StackedView, target: FilePath, readOnly: Bool)
    /// A read-only file that exists in memory alone.
    case file(MemoryFile, target: FilePath)
    /// An empty file system in memory; `size` in bytes, the kernel's default (half of the memory) without.
    case tmpfs(target: FilePath, size: Int64?)

    package var target: FilePath {
        switch self {
        case .bind(_, let target, _), .view(_, let target, _), .file(_, let target), .tmpfs(let target, _): target
        }
    }

    /// Whether the mount point must be a folder.
    func isDirectory() throws(SystemError) -> Bool {
        switch self {
        case .bind(.path(let path), _, _):
            return try OwnedDescriptor.open(path, O_PATH).status().kind == .directory
        case .bind(.descriptor(let descriptor), _, _):
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw .last("fstat") }
            return FileStatus(status).kind == .directory
        case .view(let view, _, _): return view.isDirectory
        case .file: return false
        case .tmpfs: return true
        }
    }
}

/// A place in a stack of trees, which the command's own mount namespace shows as one.
package struct StackedView: Sendable, Hashable {
    /// Absolute, topmost first; unchanged while the command runs.
    package var layers: [FilePath]
    /// Below the stack's root and without symlinks; empty for the root.
    package var path: FilePath
    package var isDirectory: Bool
    /// A folder of the caller's for what the command writes. `nil`: nothing can be written.
    package var scratch: FilePath?

    package init(layers: [FilePath], path: FilePath, isDirectory: Bool, scratch: FilePath?) {
        self.layers = layers
        self.path = path
        self.isDirectory = isDirectory
        self.scratch = scratch
    }
}

/// A small file that never touches a disk. No description shows its contents.
package struct MemoryFile: Sendable, Hashable, CustomStringConvertible {
    package var contents: [UInt8]
    package var permissions: UInt16
    package var uid: UInt32
    package var gid: UInt32

    package init(contents: [UInt8], permissions: UInt16, uid: UInt32, gid: UInt32) {
        self.contents = contents
        self.permissions = permissions
        self.uid = uid
        self.gid = gid
    }

    package var description: String { "a file of \(contents.count) bytes" }
}
