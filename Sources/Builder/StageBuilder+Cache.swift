import Dockerfile
import Layers
import OCI
import SystemIO

extension StageBuilder {
    /// Brings a step about that may make a layer: takes what it came to before, or does it and remembers.
    ///
    /// Three keys are tried, each costing more than the one before: the step with other stages as they are defined, which needs
    /// none of them; with other stages as they are; and for a COPY from elsewhere with the files that it copies.
    ///
    /// - Returns: where the result was found; `nil` if the step was done.
    mutating func obey(_ instruction: Instruction) async throws -> String? {
        let before = state
        guard let below = before.identity.known else {
            throw BuildError("[internal error] a step begins before those below it are done")
        }
        if await surroundings.cache.hasNothing(of: instruction, in: plan) {
            try await copyAnew(instruction, before, on: below)
            return nil
        }
        let sources = try stages(of: instruction)
        let definedStages = surroundings.defined.filter { sources.contains($0.key) }
        var contents: [Digest: String] = [:]
        if case .add = instruction.kind, surroundings.cache.serves(plan) {
            contents = try await surroundings.keys.remotes.contents(
                of: instruction, known: await surroundings.cache.fetched(by: plan.identity(of: instruction)))
        }
        var defined = try await inputs(of: instruction, before, before.identity.defined, definedStages, contents)
        var tried: [StepInputs] = []
        func next(_ inputs: StepInputs?) async -> CachedStep? {
            guard let inputs, !tried.contains(inputs) else { return nil }
            tried.append(inputs)
            return surroundings.cache.serves(plan) ? await surroundings.cache.find(inputs) : nil
        }
        defer { state.identity.defined = defined?.key }
        let asDefined = try await inputs(of: instruction, before, below, definedStages, contents)
        if let found = await next(asDefined) { return try take(found, instruction) }
        var known: [Int: Digest] = [:]
        var definedLater = definedStages
        for stage in sources {
            let identity = try await surroundings.stage(stage).state.identity
            known[stage] = identity.known
            if definedLater[stage] == nil { definedLater[stage] = identity.defined }
        }
        if definedLater != definedStages {
            // Of a stage with a COPY that no cache had (`copyAnew`): the next build will know it before.
            defined = try await inputs(of: instruction, before, before.identity.defined, definedLater, contents)
            let asDefinedLater = try await inputs(of: instruction, before, below, definedLater, contents)
            if let found = await next(asDefinedLater) { return try take(found, instruction) }
        }
        let asKnown = try await inputs(of: instruction, before, below, known, contents)
        if let found = await next(asKnown) { return try take(found, instruction) }
        var files: FilesDigest?
        if case .copy(let copy) = instruction.kind, copy.from != nil, !sources.isEmpty {
            files = try await copiedFiles(copy, of: sources)
            let byFiles = files.map {
                surroundings.keys.inputs(of: copy, instruction, in: before, on: below, files: $0)
            }
            if let found = await next(byFiles) {
                let records = tried.dropLast().map { CacheRecord(found.record, under: $0) }
                await surroundings.cache.add(records, layer: found.layer, of: plan.identity(of: instruction))
                return try take(found, instruction)
            }
        }
        added = []
        try await doInTurn(instruction)
        if !added.isEmpty {
            // What came is what counts, whatever the servers have said before.
            contents = Dictionary(added.map { ($0.address, $0.content) }) { $1 }
            let asDone = try await inputs(of: instruction, before, below, [:], contents)
            tried = asDone.map { [$0] } ?? []
            defined = try await inputs(of: instruction, before, before.identity.defined, [:], contents)
        }
        if !tried.isEmpty, try await !isAsRead(instruction) {
            tools.report(.warning("files changed while they were used: the step is not kept for other builds"))
            tried = []
        }
        await keep(instruction, tried, before, below)
        return nil
    }

    /// Does a COPY that no cache has, while others find out what its key is.
    private mutating func copyAnew(_ instruction: Instruction, _ before: StageState, on below: Digest) async throws {
        let keys = surroundings.keys
        async let inputs = keys.inputs(of: instruction, in: before, on: below, stages: [:])
        try await doInTurn(instruction)
        var tried = [try await inputs].compactMap(\.self)
        // The files are known by now.
        state.identity.defined = try await self.inputs(of: instruction, before, before.identity.defined, [:], [:])?.key
        if !tried.isEmpty, try await !isAsRead(instruction) {
            tools.report(.warning("files changed while they were used: the step is not kept for other builds"))
            tried = []
        }
        await keep(instruction, tried, before, below)
    }

    /// Takes down what a step that was done has made of the stage, and keeps it for other builds under its keys.
    private mutating func keep(
        _ instruction: Instruction, _ tried: [StepInputs], _ before: StageState, _ below: Digest
    ) async {
        let layer = draft.layers.count > before.draft.layers.count ? draft.layers.last : nil
        // What a COPY lays down is told by its key; what a command or a server gives, only by the layer.
        let isForetold: Bool = if case .run = instruction.kind { false } else { tried.last != nil }
        let identity = isForetold ? tried.last?.key : nil
        state.identity.known = identity ?? StageIdentity.files(of: layer, on: below)
        await remember(instruction, tried, layer: layer)
    }

    private func inputs(
        of instruction: Instruction, _ before: StageState, _ below: Digest?, _ stages: [Int: Digest],
        _ contents: [Digest: String]
    ) async throws -> StepInputs? {
        guard let below else { return nil }
        return try await surroundings.keys.inputs(
            of: instruction, in: before, on: below, stages: stages, contents: contents)
    }

    /// The stages that an instruction takes files from.
    private func stages(of instruction: Instruction) throws -> [Int] {
        try plan.references(of: instruction).compactMap {
            if case .stage(let index) = $0.meaning { index } else { nil }
        }
    }

    /// The files that a COPY from a stage would copy. The stage is built by now.
    private func copiedFiles(_ copy: CopyInstruction, of stages: [Int]) async throws -> FilesDigest? {
        let source = try await source(of: copy)
        return try await surroundings.keys.files.digest(
            of: CopiedPaths(copy.sources, copy.options, keepsParents: copy.parents), in: source,
            named: ["stage"] + stages.map { "\($0)" })
    }

    /// Whether the files that a step took from folders are those that its key was made of.
    private func isAsRead(_ instruction: Instruction) async throws -> Bool {
        let files = surroundings.keys.files
        for read in try surroundings.keys.files(of: instruction, in: state) {
            guard case .copy = instruction.kind else {
                guard await files.areUnchanged(read) else { return false }
                continue
            }
            guard let copied, copied.isSteady, await files.areUnchanged(read, copied: copied.fingerprint) else {
                return false
            }
        }
        return true
    }

    /// Does a step when the others at work leave room for it.
    private mutating func doInTurn(_ instruction: Instruction) async throws {
        let builder = self
        self = try await tools.slots.run {
            var builder = builder
            try await builder.perform(instruction)
            return builder
        }
    }

    // MARK: Records

    /// Takes over what a step came to before.
    private mutating func take(_ found: CachedStep, _ instruction: Instruction) throws -> String {
        let text = historyText(of: instruction)
        try state.configure(instruction)
        if let layer = found.layer {
            draft.append(layer, createdBy: text)
        } else {
            draft.appendHistory(text)
        }
        state.identity.known = found.record.identity
        return found.place
    }

    /// Keeps what was just done under all keys that were tried.
    private func remember(_ instruction: Instruction, _ keys: [StepInputs], layer: StoredLayer?) async {
        guard let identity = state.identity.known else { return }
        let now = Timestamp.now.seconds
        let records = keys.map {
            CacheRecord(
                instruction.name, inputs: $0, identity: identity, layer: layer?.layer,
                latest: surroundings.time.latest?.seconds, made: now, fetched: added)
        }
        await surroundings.cache.add(records, layer: layer, of: plan.identity(of: instruction))
    }
}
