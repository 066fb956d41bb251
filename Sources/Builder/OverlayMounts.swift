import Glibc
import Layers
import Sandbox
import SystemIO
import SystemPackage

/// The mounts of one RUN for the overlay isolation: real mounts, in the command's own namespace.
struct OverlayMounts {
    /// For the sandbox. They refer to what this value holds.
    private(set) var mounts: [ExtraMount] = []
    private var held: [HeldFile] = []
    private var forwarders: [AgentForwarder] = []
    /// For what is written and thrown away.
    private var scratch: [FilePath] = []
    private let tools: BuildTools

    private final class HeldFile {
        let descriptor: OwnedDescriptor
        init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
    }

    init(_ prepared: [PreparedMount], _ tools: BuildTools) throws {
        self.tools = tools
        do {
            for mount in prepared { try add(mount) }
        } catch {
            leave()
            throw error
        }
    }

    /// Ends the agents and removes what was written to throw away.
    func leave() {
        for forwarder in forwarders { forwarder.stop() }
        for folder in scratch {
            guard let name = folder.lastComponent else { continue }
            // What cannot be removed now goes with the build's scratch.
            try? tools.scratch.folder.removeTree(FilePath(root: nil, [name]))
        }
    }

    private mutating func add(_ mount: PreparedMount) throws {
        let target = mount.target
        switch mount.content {
        case .file(let file): mounts.append(.file(file, target: target))
        case .temporary(let size): mounts.append(.tmpfs(target: target, size: size))
        case .cache(let lease, let readOnly):
            mounts.append(
                .bind(
                    .path(lease.instance.path.appending(CacheLease.contents.components)), target: target,
                    readOnly: readOnly))
        case .agent(let socket):
            let folder = try makeFolder()
            forwarders.append(try AgentForwarder(to: socket, as: "agent", in: folder))
            mounts.append(.bind(.path(folder.path.appending("agent")), target: target, readOnly: false))
        case .tree(let shown, let readOnly):
            let tree = try tools.contexts.tree(shown)
            if readOnly, tree.hidden.isEmpty, tree.trees.count == 1 {
                let file = HeldFile(try tree.view.open(tree.node))
                held.append(file)
                mounts.append(.bind(.descriptor(file.descriptor.raw), target: target, readOnly: true))
            } else {
                mounts.append(.view(try view(of: tree, readOnly: readOnly), target: target, readOnly: readOnly))
            }
        }
    }

    private mutating func view(of tree: MountTree, readOnly: Bool) throws -> StackedView {
        var layers: [FilePath]
        var path = FilePath(bytes: tree.node.path)
        if tree.trees.count == 1 {
            // The folder itself instead of all that it is in.
            let file = ImagePath(trusting: tree.node.path)
            let folder = try tree.view.node(at: tree.isDirectory ? file.bytes : file.parent.bytes)
            path = tree.isDirectory ? FilePath() : FilePath(bytes: file.name)
            layers = try folder.map { [try OverlayMounts.absolutePath(of: try tree.view.open($0))] } ?? []
        } else {
            layers = try tree.trees.reversed().map { try OverlayMounts.absolutePath(of: try $0.descriptor.duplicate()) }
        }
        if !tree.hidden.isEmpty {
            let mask = try makeFolder()
            try HiddenFiles.mask(tree, in: mask)
            layers.insert(mask.path, at: 0)
        }
        return StackedView(
            layers: layers, path: path, isDirectory: tree.isDirectory, scratch: readOnly ? nil : try makeFolder().path)
    }

    private mutating func makeFolder() throws -> Directory {
        let folder = try tools.scratch.makeFolder("mount")
        scratch.append(folder.path)
        return folder
    }

    /// Where an open folder is: a context's own path may be relative, or lead through symlinks.
    private static func absolutePath(of folder: consuming OwnedDescriptor) throws -> FilePath {
        try Directory(opening: "/proc/self/fd").readLink(FilePath("\(folder.raw)"))
    }
}
