import Dockerfile
import Layers
import OCI
import SystemIO

/// Builds the stages that the forecast found to be needed, each when somebody needs it.
struct BuildLoop: Sendable {
    let plan: BuildPlan
    let request: BuildRequest
    let context: BuildContext
    let tools: BuildTools
    let cache: StepCache
    let makeFiles: MakeStageFiles
    /// Given every layer of the image, base layers first, as soon as it is known.
    let publish: @Sendable (StoredLayer) -> Void

    /// - Returns: the target's draft, with the labels of the command line.
    func run() async throws -> ImageDraft {
        let external = try openExternal()
        let keys = StepKeys(
            context: context, external: external,
            files: FilesDigests(pool: tools.pool, width: request.threads, cancellation: tools.cancellation),
            compression: request.compression)
        let forecast = try await BuildForecast.make(plan, cache, keys, request: request)
        let stages = StageRuns(loop: self, keys: keys, external: external, defined: forecast.defined)
        var draft = try await stages.finished(plan.target).state.draft
        for label in request.labels {
            draft.update { $0.labels = ($0.labels ?? [:]).merging([label.name: label.value]) { $1 } }
        }
        return draft
    }

    private func openExternal() throws -> [String: StageBuilder.ExternalSource] {
        var sources: [String: StageBuilder.ExternalSource] = [:]
        for (name, external) in plan.external {
            switch external {
            case .image(let image): sources[name] = .image(image, makeFiles(false))
            case .folder(let path): sources[name] = .folder(try Directory(opening: path))
            }
        }
        return sources
    }
}

/// The stages of one build, each built once.
private final class StageRuns: Sendable {
    private let loop: BuildLoop
    private let keys: StepKeys
    private let external: [String: StageBuilder.ExternalSource]
    private let defined: [Int: Digest]
    private let chain: Set<Int>
    private let runs = SingleFlight<Int, StageBuilder.FinishedStage>()

    init(
        loop: BuildLoop, keys: StepKeys, external: [String: StageBuilder.ExternalSource], defined: [Int: Digest]
    ) {
        self.loop = loop
        self.keys = keys
        self.external = external
        self.defined = defined
        chain = loop.plan.chain
    }

    /// A stage, built now if nobody has asked for it before.
    func finished(_ index: Int) async throws -> StageBuilder.FinishedStage {
        guard let stage = loop.plan.stages.first(where: { $0.index == index }) else {
            throw BuildError("[internal error] stage \(index) is not in the plan")
        }
        return try await runs.value(of: index) { try await build(stage) }
    }

    private func build(_ stage: StagePlan) async throws -> StageBuilder.FinishedStage {
        let tools = loop.tools
        var base: StageState?
        if case .stage(let index) = stage.base { base = try await finished(index).state }
        tools.report(.stageStarted(stage: stage.stage.label, base: stage.baseName))
        let surroundings = StageBuilder.Surroundings(
            tools: tools, context: loop.context, time: loop.context.time, cache: loop.cache, keys: keys,
            defined: defined, stage: { try await self.finished($0) }, external: external)
        let publish = chain.contains(stage.index) ? loop.publish : nil
        if case .image(let image, _) = stage.base, let publish { image.layers.forEach(publish) }
        var builder = StageBuilder(
            surroundings: surroundings,
            state: try StageState(
                stage, on: base, platform: try stage.platform(of: loop.request),
                created: loop.context.time.created),
            files: loop.makeFiles(stage.runs), numbers: (stage.firstStep, loop.plan.stepCount), publish: publish)
        return try await builder.build()
    }
}
