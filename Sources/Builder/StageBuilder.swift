import Dockerfile
import Layers
import OCI
import Sandbox
import SystemIO

/// Builds one stage: takes its instructions one after the other, each as a step that changes the state.
struct StageBuilder {
    let surroundings: Surroundings
    var state: StageState
    let files: any StageFiles
    /// The number of the first step among those of the whole build, and how many these are.
    let numbers: (first: Int, count: Int)
    /// Told of every layer at once, so that publishing overlaps building; `nil` for a stage that is not published.
    let publish: (@Sendable (StoredLayer) -> Void)?
    /// The files that the last COPY took.
    var copied: CopiedFiles?
    /// What servers had that the last ADD fetched without a checksum.
    var added: [RemoteContent] = []

    struct CopiedFiles: Sendable {
        let fingerprint: Int
        /// Whether they were not changed while they were read.
        let isSteady: Bool
    }

    /// What a stage needs of the build around it.
    struct Surroundings: Sendable {
        let tools: BuildTools
        let context: BuildContext
        let time: CreationTime
        let cache: StepCache
        let keys: StepKeys
        /// The identities that stages have before they are built.
        let defined: [Int: Digest]
        /// Another stage, finished: built now if nobody has asked for it before.
        let stage: @Sendable (Int) async throws -> FinishedStage
        /// Images and named contexts that COPY --from names.
        let external: [String: ExternalSource]
    }

    /// A stage that others may start from or copy from.
    struct FinishedStage: Sendable {
        let state: StageState
        let files: any StageFiles

        var layers: [StoredLayer] { state.draft.layers }
    }

    /// What COPY --from may name besides a stage.
    enum ExternalSource: Sendable {
        case image(BaseImage, any StageFiles)
        case folder(Directory)
    }

    var tools: BuildTools { surroundings.tools }
    var plan: StagePlan { state.plan }
    var stageName: String { plan.stage.label }
    var scope: StageScope { state.scope }
    var draft: ImageDraft {
        get { state.draft }
        set { state.draft = newValue }
    }

    /// Runs every instruction.
    ///
    /// - Throws: `BuildError` with the place of the instruction that failed.
    mutating func build() async throws -> FinishedStage {
        for (index, instruction) in plan.instructions.enumerated() {
            do {
                try tools.checkCancelled()
                try await step(instruction, number: numbers.first + index)
            } catch {
                throw BuildError(error, doing: "\(instruction.name) failed").at(instruction.range)
            }
        }
        return FinishedStage(state: state, files: files)
    }

    private mutating func step(_ written: Instruction, number: Int) async throws {
        let start = ContinuousClock.now
        tools.report(
            .stepStarted(
                number: number, count: numbers.count, stage: stageName, text: written.original.hidingUserInformation))
        let layers = draft.layers.count
        let instruction = try scope.expanded(written)
        // A variable may hold what the text does not show.
        try SupportCheck.check(instruction)
        var place: String?
        if instruction.makesLayer {
            place = try await obey(instruction)
        } else {
            try state.configure(instruction)
        }
        try state.settle(instruction)
        let layer = draft.layers.count > layers ? draft.layers.last : nil
        if let layer { publish?(layer) }
        tools.report(
            .stepFinished(
                number: number, seconds: (ContinuousClock.now - start).seconds, layer: layer?.layer.descriptor,
                cachedIn: place))
    }

    /// Does what makes a layer.
    mutating func perform(_ instruction: Instruction) async throws {
        switch instruction.kind {
        case .run(let run): try await perform(run, instruction)
        case .copy(let copy): try await perform(copy, instruction)
        case .add(let add): try await perform(add, instruction)
        case .workdir(let path): try await changeDirectory(to: path.text)
        case .arg, .env, .label, .maintainer, .cmd, .entrypoint, .expose, .volume, .user, .shell, .stopsignal,
            .healthcheck, .onbuild:
            break  // They make none.
        }
    }

    /// The line of history that an instruction gets which makes a layer.
    func historyText(of instruction: Instruction) -> String {
        switch instruction.kind {
        case .run(let run): historyText(running: state.arguments(of: run))
        case .copy(let copy):
            historyText(
                instruction, copy.options, from: copy.from, keepsParents: copy.parents, copy.sources, copy.destination)
        case .add(let add):
            historyText(instruction, add.options, add.sources.map(\.withoutUserInformation), add.destination)
        case .workdir(let path): "WORKDIR \(state.directory(path.text).absolute)"
        default: instruction.original
        }
    }

    // MARK: Layers

    /// Writes a planned layer, or records that the step changed nothing.
    ///
    /// - Parameter sources: the layers that planned files may come from.
    /// - Returns: whether no file was changed since it was planned.
    @discardableResult
    mutating func commit(
        _ plan: LayerPlan, from sources: [StoredLayer] = [], createdBy text: String
    ) async throws -> Bool {
        guard try plan.changesAnything() else {
            draft.appendHistory(text)
            return true
        }
        let contents = try await LayerContents(tools: tools).bring(plan.contentPlaces, of: sources)
        let maker = tools.maker
        let (layer, written) = try await tools.pool.run { () throws(any Error) in
            var written = LayerPlan.Written()
            let layer = try maker.make { writer in written = try plan.write(to: &writer, contents) }
            return (layer, written)
        }
        tools.indices.remember(layer, entries: written.entries)
        draft.append(StoredLayer(layer: layer, origin: .store), createdBy: text)
        return written.isSteady
    }

    /// The users and groups of the stage as it is now.
    func userDatabase() async throws -> UserDatabase {
        let tree = try await files.names(of: draft.layers)
        return UserDatabase(
            passwd: try await accountFile("etc/passwd", in: tree), group: try await accountFile("etc/group", in: tree))
    }

    private func accountFile(_ path: String, in tree: UnionTree) async throws -> [UInt8] {
        let (path, limit) = (Array(path.utf8), UserDatabase.fileSizeLimit)
        guard case .found(let node) = try tree.resolve(path, followLast: true), node.status.kind == .file,
            node.status.size <= limit, try tree.keptContent(of: node) == nil,
            let place = try tree.contentPlace(of: node)
        else { return try tree.readSmallFile(path, limit: limit) ?? [] }
        let found = try await LayerContents(tools: tools).bring([place], of: draft.layers)
        return try await tools.pool.run { () throws(any Error) in try found.bytes(of: place, size: node.status.size) }
    }

    /// Creates the working directory and what leads to it, for the current user, and makes it the place of what follows.
    private mutating func changeDirectory(to written: String) async throws {
        let path = state.directory(written)
        draft.update { $0.workingDir = path.absolute }
        let text = "WORKDIR \(path.absolute)"
        guard !path.isRoot else { return draft.appendHistory(text) }
        let owner = try await workingDirectoryOwner()
        var plan = LayerPlan(
            on: try await files.names(of: draft.layers),
            implied: .init(uid: owner.uid, gid: owner.gid, modified: surroundings.time.created))
        let resolved = try plan.resolve(path)
        guard try plan.occupant(of: resolved) != .other else {
            throw BuildError("'\(path.absolute)' is a file and cannot be the working directory")
        }
        try plan.ensureDirectory(resolved)
        try await commit(plan, createdBy: text)
    }

    /// The owner that `user[:group]` stands for by the rules of `--chown`.
    func ownership(of text: String) async throws -> (uid: UInt32, gid: UInt32) {
        // Numbers need no files: the layers stay where they are.
        if let owner = StageBuilder.numericOwner(text) { return owner }
        return try await userDatabase().owner(of: text)
    }

    /// The owner, where it can be told without any account files.
    static func numericOwner(_ text: String) -> (uid: UInt32, gid: UInt32)? {
        guard text.utf8.allSatisfy({ (0x30...0x3a).contains($0) }) else { return nil }
        return try? UserDatabase(passwd: [], group: []).owner(of: text)
    }

    /// The owner of folders that WORKDIR makes. A user that does not exist yet is no error here, as in BuildKit: it becomes
    /// one when a RUN needs it.
    private func workingDirectoryOwner() async throws -> (uid: UInt32, gid: UInt32) {
        guard !draft.user.isEmpty else { return (0, 0) }
        do {
            return try await ownership(of: draft.user)
        } catch let error as UserError {
            tools.report(.warning("WORKDIR makes its folders for root: \(error)"))
            return (0, 0)
        }
    }
}
