import Layers
import Sandbox
import SystemIO
import SystemPackage

/// The files of one stage on disk, as far as a step needs them. One implementation for each isolation.
///
/// Layers are always named in full, lowest first: a stage only ever adds to the end. Nothing is fetched or unpacked before
/// a call needs it.
protocol StageFiles: AnyObject, Sendable {
    /// A view for looking names up and copying from: the bytes of a file are on disk, or in a layer's tar
    /// (`UnionTree.contentPlace`), which `LayerContents` reads.
    func names(of layers: [StoredLayer]) async throws -> UnionTree

    /// A view in which every file can be opened, for mounting from it.
    func contents(of layers: [StoredLayer]) async throws -> UnionTree

    /// The trees of the layers on disk, lowest first, for mounting them: stacked they are what `contents(of:)` shows.
    func trees(of layers: [StoredLayer]) async throws -> [Directory]

    /// Whether a cache is moved to where a command sees it, so that one command at a time can have it.
    var movesCaches: Bool { get }

    /// Runs a command on top of the layers, with the mounts, and makes a layer of what it changed: nothing of a mount is in it.
    ///
    /// The layer is `nil` if nothing changed or the command failed. Nothing of the command is left running.
    func run(_ command: Command, mounts: [PreparedMount], on layers: [StoredLayer]) async throws -> RunResult
}

/// Makes a stage's files. The argument: whether a RUN of the stage will need its trees on disk, so that there is nothing to
/// be won by looking names up without them.
typealias MakeStageFiles = @Sendable (BuildTools, _ unpacks: Bool) -> any StageFiles

/// What a RUN came to.
struct RunResult: Sendable {
    let status: ProcessStatus
    let layer: StoredLayer?
    /// A program that was executed for its set-uid or set-gid bit, in an isolation that gives it nothing by it.
    var setIDProgram: FilePath?
}
