import Dockerfile
import Layers
import OCI
import SystemIO

/// Builds the planned stages one after the other.
struct BuildLoop {
    let plan: BuildPlan
    let request: BuildRequest
    let context: BuildContext
    let tools: BuildTools
    let makeFiles: @Sendable () -> any StageFiles
    /// Given every layer of the image, base layers first, as soon as it is known.
    let publish: @Sendable (StoredLayer) -> Void

    /// - Returns: the target's draft, with the labels of the command line.
    func run() async throws -> ImageDraft {
        var finished: [Int: StageBuilder.FinishedStage] = [:]
        var progress = StepCounter(count: plan.stepCount)
        let external = try openExternal()
        let chain = plan.chain
        for stage in plan.stages {
            let index = stage.stage.index
            tools.report(.stageStarted(stage: stage.stage.label, base: stage.baseName))
            let surroundings = StageBuilder.Surroundings(
                tools: tools, context: context, time: context.time, finished: finished, external: external)
            var builder = try start(stage, surroundings, publishes: chain.contains(index))
            finished[index] = try await builder.build(progress: &progress)
        }
        guard var draft = finished[plan.target]?.draft else {
            throw BuildError("[internal error] the target was not built")
        }
        for label in request.labels {
            draft.update { $0.labels = ($0.labels ?? [:]).merging([label.name: label.value]) { $1 } }
        }
        return draft
    }

    private func start(
        _ stage: StagePlan, _ surroundings: StageBuilder.Surroundings, publishes: Bool
    ) throws -> StageBuilder {
        let created = context.time.created
        var draft: ImageDraft
        let scope: StageScope
        switch stage.base {
        case .stage(let index):
            guard let base = surroundings.finished[index] else {
                throw BuildError("[internal error] stage \(index) is not built", at: stage.stage.range)
            }
            draft = base.draft
            draft.update { $0.onBuild = nil }
            scope = StageScope(inheriting: base.scope)
        case .scratch:
            draft = ImageDraft(scratchFor: try platform(of: stage), created: created)
            scope = makeScope(stage, &draft)
        case .image(let image, _):
            draft = ImageDraft(base: image, created: created)
            scope = makeScope(stage, &draft)
            if publishes { image.layers.forEach(publish) }
        }
        return StageBuilder(
            plan: stage, surroundings: surroundings, draft: draft, scope: scope, files: makeFiles(),
            publish: publishes ? publish : nil)
    }

    /// The variables of a stage on an image; a base without PATH gets the usual one, also in its config.
    private func makeScope(_ stage: StagePlan, _ draft: inout ImageDraft) -> StageScope {
        if !draft.environment.contains(where: { $0.hasPrefix("PATH=") }) {
            draft.setEnvironment(draft.environment + ["PATH=\(ImageDraft.defaultPath)"])
        }
        return StageScope(global: stage.graph.global, baseEnvironment: draft.environment)
    }

    private func platform(of stage: StagePlan) throws -> Platform {
        guard let written = stage.graph.nodes[stage.stage.index]?.platform else { return request.platform }
        return try Platform(parsing: written)
    }

    private func openExternal() throws -> [String: StageBuilder.ExternalSource] {
        var sources: [String: StageBuilder.ExternalSource] = [:]
        for (name, external) in plan.external {
            switch external {
            case .image(let image): sources[name] = .image(image, makeFiles())
            case .folder(let path): sources[name] = .folder(try Directory(opening: path))
            }
        }
        return sources
    }
}
