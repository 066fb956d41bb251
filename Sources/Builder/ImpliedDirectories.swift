import Glibc
import Layers
import SystemIO
import SystemPackage

/// Gives folders that a layer only implies the owner and mode that layers below gave them.
///
/// A layer may hold `usr/bin/tool` without `usr/` and `usr/bin/`. Unpacked into a tree of its own, those folders are made up,
/// and overlayfs takes a folder's metadata from the topmost tree that has it. One more tree on top of the stack, of folders
/// only, says what they really are.
enum ImpliedDirectories {
    /// - Parameter trees: lowest first.
    /// - Returns: a folder to stack on top, or `nil` if nothing needs repair.
    static func repair(_ trees: [TreeStore.Tree], in scratch: Scratch) throws -> Directory? {
        let view = UnionTree(layers: trees.reversed().map { .overlay($0.root) })
        let implied = trees.reversed().map { Set($0.implied) }
        guard let root = try describe(.root, view, implied) else { return nil }
        var folders: Set<ImagePath> = []
        for path in implied.reduce(into: Set<ImagePath>(), { $0.formUnion($1) }) where !path.isRoot {
            guard try view.node(at: path.bytes)?.status.kind == .directory else { continue }
            folders.insert(path)
            folders.formUnion(path.ancestors)
        }
        folders.remove(.root)
        guard !folders.isEmpty || root.layer > 0 else { return nil }
        let top = try scratch.makeFolder("implied")
        var made: [(path: ImagePath, node: UnionTree.Node)] = [(.root, root)]
        for path in folders.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
            guard let known = try describe(path, view, implied) else { continue }
            let parent = try top.openDirectory(
                path.parent.isRoot ? "." : FilePath(bytes: path.parent.bytes), .noSymlinks)
            try parent.makeDirectory(FilePath(bytes: path.name), mode: 0o755)
            made.append((path, known))
        }
        // Inner ones first: making something in a folder changes its time.
        for (path, node) in made.reversed() {
            let folder = try top.open(bytes: path.bytes, O_RDONLY | O_DIRECTORY, .noSymlinks)
            for attribute in try view.attributes(node) { try folder.setAttribute(attribute) }
            try folder.setOwnerModeAndTime(node.status, naming: FilePath(bytes: path.bytes))
        }
        return top
    }

    /// The folder as the topmost layer says it that does not only imply it; the made-up one if all of them do.
    private static func describe(
        _ path: ImagePath, _ view: UnionTree, _ implied: [Set<ImagePath>]
    ) throws -> UnionTree.Node? {
        let history = try view.mergedFolders(at: path.bytes)
        return history.first { !implied[$0.layer].contains(path) } ?? history.last
    }
}
