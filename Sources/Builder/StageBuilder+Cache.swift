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
        let sources = try stages(of: instruction)
        let definedStages = surroundings.defined.filter { sources.contains($0.key) }
        let defined = try await inputs(of: instruction, on: before.identity.defined, definedStages)
        var tried: [StepInputs] = []
        func next(_ inputs: StepInputs?) async -> CachedStep? {
            guard let inputs, !tried.contains(inputs) else { return nil }
            tried.append(inputs)
            return surroundings.cache.serves(plan) ? await surroundings.cache.find(inputs) : nil
        }
        defer { state.identity.defined = defined?.key }
        let asDefined = try await inputs(of: instruction, on: below, definedStages)
        if let found = await next(asDefined) { return try take(found, instruction) }
        var known: [Int: Digest] = [:]
        for stage in sources { known[stage] = try await surroundings.stage(stage).state.identity.known }
        let asKnown = try await inputs(of: instruction, on: below, known)
        if let found = await next(asKnown) { return try take(found, instruction) }
        var files: FilesDigest?
        if case .copy(let copy) = instruction.kind, copy.from != nil, !sources.isEmpty {
            files = try await copiedFiles(copy)
            let byFiles = files.map {
                surroundings.keys.inputs(of: copy, instruction, in: before, on: below, files: $0)
            }
            if let found = await next(byFiles) {
                let records = tried.dropLast().map { CacheRecord(found.record, under: $0) }
                await surroundings.cache.add(records, layer: found.layer, of: plan.identity(of: instruction))
                return try take(found, instruction)
            }
        }
        try await doInTurn(instruction)
        if try await !isAsRead(instruction) {
            tools.report(.warning("files changed while they were copied: the step is not kept for other builds"))
            tried = []
        }
        let layer = draft.layers.count > before.draft.layers.count ? draft.layers.last : nil
        // What a COPY lays down is told by its key; what a command or a server gives, only by the layer.
        let isForetold: Bool = if case .run = instruction.kind { false } else { tried.last != nil }
        let identity = isForetold ? tried.last?.key : nil
        state.identity.known = identity ?? StageIdentity.files(of: layer, on: below)
        await remember(instruction, tried[...], layer: layer)
        return nil
    }

    private func inputs(
        of instruction: Instruction, on below: Digest?, _ stages: [Int: Digest]
    ) async throws -> StepInputs? {
        guard let below else { return nil }
        return try await surroundings.keys.inputs(of: instruction, in: state, on: below, stages: stages)
    }

    /// The stages that an instruction takes files from.
    private func stages(of instruction: Instruction) throws -> [Int] {
        try plan.references(of: instruction).compactMap {
            if case .stage(let index) = $0.meaning { index } else { nil }
        }
    }

    /// The files that a COPY from a stage would copy. The stage is built by now.
    private func copiedFiles(_ copy: CopyInstruction) async throws -> FilesDigest? {
        let source = try await source(of: copy)
        return try await surroundings.keys.files.digest(
            of: CopiedPaths(copy.sources, copy.options, keepsParents: copy.parents), in: source,
            named: ["stage", copy.from?.text ?? "", plan.stage.label])
    }

    /// Whether the files that a COPY took from a folder are those that its key was made of.
    private func isAsRead(_ instruction: Instruction) async throws -> Bool {
        guard case .copy(let copy) = instruction.kind, copy.from == nil else { return true }
        let digest = try await surroundings.keys.files.digest(
            of: CopiedPaths(copy.sources, copy.options, keepsParents: copy.parents), in: surroundings.context.source,
            named: ["context"])
        return digest?.fingerprint == copiedFingerprint
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
    private func remember(_ instruction: Instruction, _ keys: ArraySlice<StepInputs>, layer: StoredLayer?) async {
        guard let identity = state.identity.known else { return }
        let now = Timestamp.now.seconds
        let records = keys.map {
            CacheRecord(
                instruction.name, inputs: $0, identity: identity, layer: layer?.layer,
                latest: surroundings.time.latest?.seconds, made: now)
        }
        await surroundings.cache.add(records, layer: layer, of: plan.identity(of: instruction))
    }
}
