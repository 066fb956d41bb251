import Dockerfile
import Layers
import OCI
import Sandbox
import SystemIO

/// Builds one stage: takes its instructions one after the other, each as a step that changes the draft.
struct StageBuilder {
    let plan: StagePlan
    let surroundings: Surroundings
    var draft: ImageDraft
    var scope: StageScope
    let files: any StageFiles
    /// Whether CMD was given in this very stage.
    var commandIsOwn = false
    /// Told of every layer at once, so that publishing overlaps building; `nil` for a stage that is not published.
    let publish: (@Sendable (StoredLayer) -> Void)?

    /// What a stage needs of the build around it.
    struct Surroundings {
        let tools: BuildTools
        let context: BuildContext
        let time: CreationTime
        /// The stages that are finished, by index.
        let finished: [Int: FinishedStage]
        /// Images and named contexts that COPY --from names.
        let external: [String: ExternalSource]
    }

    /// A stage that others may start from or copy from.
    struct FinishedStage {
        let draft: ImageDraft
        let scope: StageScope
        let files: any StageFiles
    }

    /// What COPY --from may name besides a stage.
    enum ExternalSource {
        case image(BaseImage, any StageFiles)
        case folder(Directory)
    }

    var tools: BuildTools { surroundings.tools }
    var stageName: String { plan.stage.label }

    /// Runs every instruction.
    ///
    /// - Throws: `BuildError` with the place of the instruction that failed.
    mutating func build(progress: inout StepCounter) async throws -> FinishedStage {
        for instruction in plan.instructions {
            do {
                try tools.checkCancelled()
                try await step(instruction, progress: &progress)
            } catch {
                throw BuildError(error, doing: "\(instruction.name) failed").at(instruction.range)
            }
        }
        return FinishedStage(draft: draft, scope: scope, files: files)
    }

    private mutating func step(_ written: Instruction, progress: inout StepCounter) async throws {
        let number = progress.next()
        let start = ContinuousClock.now
        tools.report(
            .stepStarted(
                number: number, count: progress.count, stage: stageName, text: written.original.hidingUserInformation))
        let layers = draft.layers.count
        let instruction = try scope.expanded(written)
        // A variable may hold what the text does not show.
        try SupportCheck.check(instruction)
        try await perform(instruction)
        try scope.apply(instruction)
        if case .env = instruction.kind { draft.setEnvironment(scope.configEnvironment) }
        let layer = draft.layers.count > layers ? draft.layers.last : nil
        if let layer { publish?(layer) }
        tools.report(
            .stepFinished(
                number: number, seconds: (ContinuousClock.now - start).seconds, layer: layer?.layer.descriptor))
    }

    private mutating func perform(_ instruction: Instruction) async throws {
        switch instruction.kind {
        case .run(let run): try await perform(run, instruction)
        case .copy(let copy): try await perform(copy, instruction)
        case .add(let add): try await perform(add, instruction)
        case .workdir(let path): try await changeDirectory(to: path.text)
        case .arg: break
        case .env, .label, .maintainer, .cmd, .entrypoint, .expose, .volume, .user, .shell, .stopsignal, .healthcheck,
            .onbuild:
            try configure(instruction)
        }
    }

    // MARK: Layers

    /// Writes a planned layer, or records that the step changed nothing.
    mutating func commit(_ plan: LayerPlan, createdBy text: String) async throws {
        guard try plan.changesAnything() else { return draft.appendHistory(text) }
        let maker = tools.maker
        let (layer, entries) = try await tools.pool.run { () throws(any Error) in
            var entries: [LayerEntry] = []
            let layer = try maker.make { writer in entries = try plan.write(to: &writer) }
            return (layer, entries)
        }
        let stored = StoredLayer(layer: layer, origin: .store)
        files.remember(stored, entries: entries)
        draft.append(stored, createdBy: text)
    }

    /// The users and groups of the stage as it is now.
    func userDatabase() async throws -> UserDatabase {
        let tree = try await files.contents(of: draft.layers)
        let limit = UserDatabase.fileSizeLimit
        return UserDatabase(
            passwd: try tree.readSmallFile(Array("etc/passwd".utf8), limit: limit) ?? [],
            group: try tree.readSmallFile(Array("etc/group".utf8), limit: limit) ?? [])
    }

    /// Creates the working directory and what leads to it, for the current user, and makes it the place of what follows.
    private mutating func changeDirectory(to written: String) async throws {
        let path = ImagePath(cleaning: written, below: ImagePath(cleaning: draft.workingDirectory))
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

/// Numbers the steps of a whole build.
struct StepCounter {
    let count: Int
    private var number = 0

    init(count: Int) {
        self.count = count
    }

    mutating func next() -> Int {
        number += 1
        return number
    }
}
