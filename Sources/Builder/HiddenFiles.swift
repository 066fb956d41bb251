import Dockerfile
import Glibc
import Layers
import SystemIO
import SystemPackage

/// What `.dockerignore` hides of a folder that is mounted and not copied.
enum HiddenFiles {
    /// The outermost hidden names below a folder. A folder that is ignored and holds something that is not, stays.
    static func paths(
        below folder: UnionTree.Node, in view: UnionTree, ignored: IgnorePatterns
    ) throws -> [[UInt8]] {
        guard folder.status.kind == .directory, !ignored.isEmpty else { return [] }
        var search = Search()
        try view.walk(from: folder.path) { node throws(LayerError) in
            if node.path == folder.path { return .goOn }
            return search.visit(node, ignored)
        }
        search.leaveAll()
        return search.hidden
    }

    private struct Search {
        private(set) var hidden: [[UInt8]] = []
        /// Ignored folders around the walk in which nothing was seen yet, and how much was hidden before each.
        private var doubtful: [(path: [UInt8], before: Int)] = []

        mutating func visit(_ node: UnionTree.Node, _ ignored: IgnorePatterns) -> UnionTree.WalkStep {
            while let last = doubtful.last, !isBelow(node.path, last.path) { leave() }
            guard ignored.isIgnored(node.path) else {
                doubtful.removeAll()
                return .goOn
            }
            if node.status.kind == .directory, ignored.mayContainIncluded(node.path) {
                doubtful.append((node.path, hidden.count))
                return .goOn
            }
            hidden.append(node.path)
            return .skipBelow
        }

        mutating func leaveAll() {
            while !doubtful.isEmpty { leave() }
        }

        private mutating func leave() {
            guard let (path, before) = doubtful.popLast() else { return }
            hidden.removeSubrange(before...)
            hidden.append(path)
        }
    }

    private static func isBelow(_ path: [UInt8], _ folder: [UInt8]) -> Bool {
        path.count > folder.count && path[folder.count] == UInt8(ascii: "/") && path.starts(with: folder)
    }

    /// A tree for overlayfs that takes the hidden names away from the folder when it is stacked on top of it.
    static func mask(_ mount: MountTree, in folder: Directory) throws {
        let base = ImagePath(trusting: mount.node.path)
        var folders: [ImagePath] = []
        var made: Set<ImagePath> = [.root]
        for path in mount.hidden {
            let relative = ImagePath(trusting: Array(ImagePath(trusting: path).relative(to: base)))
            for ancestor in relative.ancestors where made.insert(ancestor).inserted {
                try open(ancestor.parent, in: folder).makeDirectory(FilePath(bytes: ancestor.name), mode: 0o700)
                folders.append(ancestor)
            }
            // A whiteout: the name is deleted.
            let parent = try open(relative.parent, in: folder)
            let name = FilePath(bytes: relative.name)
            guard name.withCString({ mknodat(parent.descriptor.raw, $0, S_IFCHR, 0) }) == 0 else {
                throw SystemError.last("mknodat", name)
            }
        }
        // overlayfs takes a folder's owner, mode and time from the topmost tree that has it. Inner ones first: making
        // something in a folder changes its time.
        for path in folders.reversed() {
            guard let status = try mount.view.node(at: base.appending(path.bytes).bytes)?.status else { continue }
            try open(path.parent, in: folder).setOwnerModeAndTime(of: FilePath(bytes: path.name), status)
        }
        try folder.descriptor.setOwnerModeAndTime(mount.node.status, naming: "mount")
    }

    private static func open(_ path: ImagePath, in folder: Directory) throws -> Directory {
        path.isRoot ? folder : try folder.openDirectory(FilePath(bytes: path.bytes), .noSymlinks)
    }
}
