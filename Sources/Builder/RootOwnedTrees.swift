import Glibc
import Layers
import Synchronization
import SystemIO
import SystemPackage

/// Files of contexts as mounts show them: they belong to root, as those that COPY takes from there do.
///
/// Who has the files on the builder's disk is chance, and must not change an image. Where root has all that can be seen, the
/// context itself is what a mount shows; otherwise it is a copy, made once for a build.
final class RootOwnedTrees: Sendable {
    private struct Key: Hashable {
        let folder: FilePath
        let path: [UInt8]
    }

    private let scratch: Scratch
    private let cancellation: Cancellation
    private let known = Mutex<[Key: MountTree]>([:])

    init(in scratch: Scratch, cancellation: Cancellation) {
        self.scratch = scratch
        self.cancellation = cancellation
    }

    /// What to mount for `mount`. A tree that keeps its owners stays as it is, and so does every tree where this process may
    /// not give files away. Blocks.
    func tree(_ mount: MountTree) throws -> MountTree {
        guard !mount.keepsOwners, geteuid() == 0, let folder = mount.trees.last else { return mount }
        let key = Key(folder: folder.path, path: mount.node.path)
        if let known = known.withLock({ $0[key] }) { return known }
        let tree = try isOfRoot(mount) ? mount : copy(mount)
        known.withLock { $0[key] = tree }
        return tree
    }

    private func isOfRoot(_ mount: MountTree) throws -> Bool {
        let hidden = Set(mount.hidden)
        var isOfRoot = true
        try mount.view.walk(from: mount.node.path) { node throws(LayerError) in
            guard !cancellation.isCancelled else { throw .cancelled }
            guard isOfRoot, !hidden.contains(node.path) else { return .skipBelow }
            isOfRoot = node.status.uid == 0 && node.status.gid == 0
            return .goOn
        }
        return isOfRoot
    }

    private func copy(_ mount: MountTree) throws -> MountTree {
        let folder = try scratch.makeFolder("context")
        let name: FilePath = "copy"
        try TreeCopy(cancellation: cancellation).copy(mount, to: name, in: folder)
        return try MountTree(name.string, in: .init(folder, keepsOwners: true), trees: [folder])
    }
}
