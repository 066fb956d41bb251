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
        let keys = try makeKeys()
        let forecast = try await BuildForecast.make(plan, cache, keys, request: request, tools: tools)
        let stages = StageRuns(loop: self, keys: keys, forecast: forecast)
        let losses = tools.blobs.cached.losses
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in forecast.needed.sorted() {
                group.addTask { _ = try await stages.finished(index) }
            }
            do { while try await group.next() != nil {} } catch {
                // A RUN of another stage need not end, unless it will be wanted when the build is gone through again.
                if tools.blobs.cached.losses == losses { tools.cancellation.cancel() }
                throw error
            }
        }
        var draft = try await stages.finished(plan.target).state.draft
        for label in request.labels {
            draft.update { $0.labels = ($0.labels ?? [:]).merging([label.name: label.value]) { $1 } }
        }
        return draft
    }

    /// What would be done.
    func outline() async throws -> BuildOutline {
        BuildOutline(
            try await BuildForecast.make(plan, cache, try makeKeys(), request: request, tools: tools), of: plan)
    }

    private func makeKeys() throws -> StepKeys {
        StepKeys(
            context: context, external: try openExternal(),
            files: FilesDigests(pool: tools.pool, width: request.threads, cancellation: tools.cancellation),
            remotes: RemoteContents(tools.remotes), compression: request.compression)
    }

    private func openExternal() throws -> [String: StageBuilder.ExternalSource] {
        var sources: [String: StageBuilder.ExternalSource] = [:]
        for (name, external) in plan.external {
            switch external {
            case .image(let image): sources[name] = .image(image, makeFiles(tools, false))
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
    private let forecast: BuildForecast
    private let chain: Set<Int>
    private let runs = SingleFlight<Int, StageBuilder.FinishedStage>(keeps: true)

    init(loop: BuildLoop, keys: StepKeys, forecast: BuildForecast) {
        self.loop = loop
        self.keys = keys
        self.forecast = forecast
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
        var tools = loop.tools
        if forecast.needed.count > 1 { tools.stage = stage.stage.label }
        var base: StageState?
        if case .stage(let index) = stage.base { base = try await finished(index).state }
        tools.report(.stageStarted(stage: stage.stage.label, base: stage.baseName))
        let surroundings = StageBuilder.Surroundings(
            tools: tools, context: loop.context, time: loop.context.time, cache: loop.cache, keys: keys,
            defined: forecast.defined, stage: { try await self.finished($0) }, external: keys.external)
        let publish = chain.contains(stage.index) ? loop.publish : nil
        if case .image(let image, _) = stage.base, let publish { image.layers.forEach(publish) }
        var builder = StageBuilder(
            surroundings: surroundings,
            state: try StageState(
                stage, on: base, platform: try stage.platform(of: loop.request),
                created: loop.context.time.created),
            files: loop.makeFiles(tools, stage.runs), numbers: (stage.firstStep, loop.plan.stepCount), publish: publish)
        return try await builder.build()
    }
}
