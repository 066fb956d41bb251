import Dockerfile
import OCI
import SystemIO

/// What a build would do, found before any work: every stage is walked with the keys of its steps alone.
///
/// Nothing is fetched, unpacked or run; files of contexts are read.
struct BuildForecast: Sendable {
    struct Step: Sendable {
        let number: Int
        let instruction: Instruction
        let verdict: Verdict
        /// What the cache mounts of a RUN that may be done begin with, for people.
        var notes: [String] = []
    }

    enum Verdict: Sendable {
        /// Changes the config only.
        case config
        case cached(CachedStep)
        /// Is done, because of this.
        case done(String)
        /// Is looked up when the steps before it are done.
        case open
    }

    private(set) var steps: [Int: [Step]] = [:]
    /// What stages will be by their definition; none for a stage that cannot be foretold.
    private(set) var defined: [Int: Digest] = [:]
    /// The stages that have to be gone through.
    private(set) var needed: Set<Int> = []

    static func make(
        _ plan: BuildPlan, _ cache: StepCache, _ keys: StepKeys, request: BuildRequest, tools: BuildTools
    ) async throws -> BuildForecast {
        var walk = Walk(plan: plan, cache: cache, keys: keys, tools: tools)
        for stage in plan.stages { try await walk.visit(stage, request) }
        var forecast = walk.forecast
        var pending = [plan.target]
        while let index = pending.popLast() {
            guard forecast.needed.insert(index).inserted, let stage = plan.stages.first(where: { $0.index == index })
            else { continue }
            if case .stage(let base) = stage.base { pending.append(base) }
            pending += walk.wanted[index] ?? []
        }
        return forecast
    }

    /// Carries the states of all stages forward.
    private struct Walk {
        let plan: BuildPlan
        let cache: StepCache
        let keys: StepKeys
        let tools: BuildTools
        var forecast = BuildForecast()
        var states: [Int: StageState] = [:]
        /// The stages that steps will take files from which are not cached.
        var wanted: [Int: Set<Int>] = [:]

        mutating func visit(_ stage: StagePlan, _ request: BuildRequest) async throws {
            var base: StageState?
            if case .stage(let index) = stage.base {
                guard let below = states[index] else { return }
                base = below
            }
            var state = try StageState(
                stage, on: base, platform: try stage.platform(of: request), created: keys.context.time.created)
            var steps: [Step] = []
            for (offset, written) in stage.instructions.enumerated() {
                // What is wrong with an instruction is told when its turn comes.
                guard let instruction = try? state.scope.expanded(written) else { return }
                let verdict = try await step(instruction, &state, stage)
                steps.append(
                    Step(
                        number: stage.firstStep + offset, instruction: written, verdict: verdict,
                        notes: notes(on: instruction, verdict)))
                guard (try? state.settle(instruction)) != nil else { return }
            }
            forecast.steps[stage.index] = steps
            forecast.defined[stage.index] = state.identity.defined
            states[stage.index] = state
        }

        private mutating func step(
            _ instruction: Instruction, _ state: inout StageState, _ stage: StagePlan
        ) async throws -> Verdict {
            guard instruction.makesLayer else {
                try state.configure(instruction)
                return .config
            }
            let sources = try stage.references(of: instruction).compactMap { reference -> Int? in
                if case .stage(let index) = reference.meaning { index } else { nil }
            }
            let before = state
            try state.configure(instruction)
            if await cache.hasNothing(of: instruction, in: stage) {
                let isOpen = before.identity.known == nil
                (state.identity.known, state.identity.defined) = (nil, nil)
                return isOpen ? .open : .done(await reason(stage, instruction, StepInputs()))
            }
            var contents: [Digest: String] = [:]
            if case .add = instruction.kind, cache.serves(stage) {
                // What is wrong with an address is told when its turn comes.
                contents =
                    (try? await keys.remotes.contents(
                        of: instruction, known: await cache.fetched(by: stage.identity(of: instruction)))) ?? [:]
            }
            state.identity.defined = try await inputs(
                instruction, before, before.identity.defined, sources, forecast.defined, contents)?.key
            let below = before.identity.known
            state.identity.known = nil
            guard below != nil else {
                wanted[stage.index, default: []].formUnion(sources)
                return .open
            }
            var missed: StepInputs?
            for identities in [forecast.defined, states.compactMapValues(\.identity.known)] {
                guard let inputs = try await inputs(instruction, before, below, sources, identities, contents) else {
                    continue
                }
                if cache.serves(stage), let found = await cache.find(inputs) {
                    state.identity.known = found.record.identity
                    return .cached(found)
                }
                missed = inputs
            }
            wanted[stage.index, default: []].formUnion(sources)
            return .done(await reason(stage, instruction, missed))
        }

        private func notes(on instruction: Instruction, _ verdict: Verdict) -> [String] {
            guard case .run(let run) = instruction.kind else { return [] }
            if case .cached = verdict { return [] }
            return (try? tools.carrier.notes(on: run, tools.caches)) ?? []
        }

        private func inputs(
            _ instruction: Instruction, _ state: StageState, _ below: Digest?, _ sources: [Int],
            _ identities: [Int: Digest], _ contents: [Digest: String]
        ) async throws -> StepInputs? {
            guard let below else { return nil }
            return try await keys.inputs(
                of: instruction, in: state, on: below, stages: identities.filter { sources.contains($0.key) },
                contents: contents)
        }

        private func reason(_ stage: StagePlan, _ instruction: Instruction, _ missed: StepInputs?) async -> String {
            guard cache.serves(stage) else { return "the cache is not used" }
            guard let missed else { return "what it fetches or copies is not known before" }
            guard let last = await cache.lastInputs(of: stage.identity(of: instruction)) else {
                return "it was not done before"
            }
            let changes = missed.differences(from: last)
            guard !changes.isEmpty else { return "its layer is gone, or has younger files than this image may have" }
            return "changed: " + changes.prefix(5).joined(separator: ", ") + (changes.count > 5 ? " and more" : "")
        }
    }
}
