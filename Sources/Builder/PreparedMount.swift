import Dockerfile
import Layers
import Sandbox
import SystemIO
import SystemPackage

/// What a RUN sees at one name for as long as it runs: the source is found, a cache is held.
struct PreparedMount: Sendable {
    enum Content: Sendable {
        /// What is written goes nowhere where it is not read-only.
        case tree(MountTree, readOnly: Bool)
        case cache(CacheLease, readOnly: Bool)
        /// An empty folder; `size` in bytes.
        case temporary(size: Int64?)
        /// A secret, or the script of a RUN.
        case file(MemoryFile)
        /// An agent's socket.
        case agent(AgentSocket)
    }

    let content: Content
    /// Absolute and clean; symlinks in it are followed inside the root.
    let target: FilePath
    /// Where the mount stands in the Dockerfile.
    let range: SourceRange

    /// That the target is all of the image, where symlinks lead.
    var rootFault: BuildError {
        BuildError(
            "'\(target.printable)' leads to the root directory, which cannot be a target", at: range,
            hint: "name a directory below /")
    }

    /// That what should be a directory on the way to the target is none.
    var fileFault: BuildError {
        BuildError("the target '\(target.printable)' leads through a file", at: range)
    }
}

/// A file or folder of a stage, an image or a context that a RUN may see.
struct MountTree: Sendable {
    /// What `view` is made of, lowest first.
    let trees: [Directory]
    let view: UnionTree
    /// Without symlinks in its path.
    let node: UnionTree.Node
    /// What is in the folder and not to be seen, as paths of `view`: outermost names only.
    let hidden: [[UInt8]]
    /// Files of a context belong to nobody in particular.
    let keepsOwners: Bool

    /// - Parameter source: where the mount begins; symlinks are followed.
    /// - Throws: `BuildError` without a place if nothing is there, or it is neither a file nor a folder.
    init(_ source: String, in origin: CopyOperation.Source, trees: [Directory]) throws {
        self.trees = trees
        view = origin.tree
        let node = try origin.followed(ImagePath(cleaning: source))
        guard node.status.kind == .directory || node.status.kind == .file else {
            throw BuildError("'\(source)' is neither a file nor a folder and cannot be mounted")
        }
        self.node = node
        hidden = try HiddenFiles.paths(below: node, in: view, ignored: origin.ignored)
        keepsOwners = origin.keepsOwners
    }

    var isDirectory: Bool { node.status.kind == .directory }
}
