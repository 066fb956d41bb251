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
        guard trees.contains(where: { !$0.implied.isEmpty }) else { return nil }
        let implied = trees.map { Set($0.implied) }
        let view = UnionTree(layers: trees.reversed().map { .overlay($0.root) })
        var folders: Set<ImagePath> = []
        for path in implied.reduce(into: Set<ImagePath>(), { $0.formUnion($1) }) {
            guard try view.node(at: path.bytes)?.status.kind == .directory else { continue }
            folders.insert(path)
            folders.formUnion(path.ancestors)
        }
        guard !folders.isEmpty else { return nil }
        let top = try scratch.makeFolder("implied")
        var made: [(path: ImagePath, status: FileStatus)] = []
        for path in folders.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
            guard let known = try describe(path, trees, implied),
                let name = path.bytes.isEmpty ? nil : FilePath(bytes: path.name)
            else { continue }
            let parent =
                path.parent.isRoot ? top : try top.openDirectory(FilePath(bytes: path.parent.bytes), .noSymlinks)
            try parent.makeDirectory(name, mode: 0o755)
            for attribute in try known.tree.attributes(known.node) { try parent.setAttribute(attribute, on: name) }
            made.append((path, known.node.status))
        }
        // Inner ones first: making something in a folder changes its time.
        for (path, status) in made.reversed() {
            try top.open(bytes: path.bytes, O_RDONLY | O_DIRECTORY, .noSymlinks)
                .setOwnerModeAndTime(status, naming: FilePath(bytes: path.bytes))
        }
        return top
    }

    /// The folder as the topmost layer says it that does not only imply it; the made-up one if all of them do.
    private static func describe(
        _ path: ImagePath, _ trees: [TreeStore.Tree], _ implied: [Set<ImagePath>]
    ) throws -> (node: UnionTree.Node, tree: UnionTree)? {
        var last: (node: UnionTree.Node, tree: UnionTree)?
        for (tree, implied) in zip(trees, implied).reversed() {
            // One layer at a time: what a layer hides below it is not the folder's history any more.
            let alone = UnionTree(layers: [.overlay(tree.root)])
            guard let node = try alone.node(at: path.bytes) else { continue }
            guard node.status.kind == .directory else { return last }
            last = (node, alone)
            if !implied.contains(path) { return last }
        }
        return last
    }
}
