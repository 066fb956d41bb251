import Dockerfile
import Layers
import OCI
import SystemIO
import SystemPackage

/// What is going to be built: the needed stages in order, each with its base and all of its instructions.
///
/// Making one reads base images' documents and nothing else; it fails before any work starts if something needed is
/// missing or not supported.
struct BuildPlan: Sendable {
    private(set) var stages: [StagePlan]
    /// Images and folders that COPY --from and mounts name besides stages.
    private(set) var external: [String: External]
    let target: Int

    enum External: Sendable {
        case image(BaseImage)
        case folder(FilePath)
    }

    /// The stages that the target is built on top of, itself included: their layers are those of the image.
    var chain: Set<Int> {
        var chain: Set<Int> = []
        var next: Int? = target
        while let index = next, let stage = stages.first(where: { $0.stage.index == index }) {
            chain.insert(index)
            if case .stage(let base) = stage.base { next = base } else { next = nil }
        }
        return chain
    }

    var stepCount: Int { stages.reduce(0) { $0 + $1.instructions.count } }

    /// Whether any needed stage has a RUN.
    var runs: Bool {
        stages.contains { $0.runs }
    }

    static func make(
        _ dockerfile: Dockerfile, _ request: BuildRequest, registries: Registries, pool: BlockingPool,
        report: @escaping EventSink
    ) async throws -> BuildPlan {
        var graph = try StageGraph(
            dockerfile, target: request.target, arguments: arguments(request),
            contexts: Array(request.namedContexts.keys))
        // Before a registry is asked for anything; what bases' triggers add is checked when they are known.
        for node in graph.order.compactMap({ graph.nodes[$0] }) {
            try SupportCheck.check(node)
            for instruction in node.stage.instructions {
                try SupportCheck.check(instruction)
                try SupportCheck.checkGiven(instruction, for: request)
            }
        }
        let resolver = ImageResolver(request: request, registries: registries, pool: pool, report: report)
        let ahead = graph.order.compactMap { graph.nodes[$0]?.base }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            // All at the same time; they are looked at in order.
            for case .image(let name, let platform) in ahead {
                group.addTask { await resolver.fetchAhead(name, platform: platform) }
            }
            defer { group.cancelAll() }
            return try await resolve(&graph, request, with: resolver)
        }
    }

    private static func resolve(
        _ graph: inout StageGraph, _ request: BuildRequest, with resolver: ImageResolver
    ) async throws -> BuildPlan {
        var bases: [Int: StagePlan.Base] = [:]
        var triggers: [Int: [Instruction]] = [:]
        // A base image's ONBUILD may name further stages, whose bases may do the same.
        var pending = graph.order
        var next = 0
        while next < pending.count {
            let index = pending[next]
            next += 1
            guard let node = graph.nodes[index] else { continue }
            switch node.base {
            case .scratch: bases[index] = .scratch
            case .stage(let base): bases[index] = .stage(base)
            case .image(let name, let platform):
                let image = try await resolver.base(name, platform: platform, of: node.stage, in: graph)
                bases[index] = .image(image, name: name)
                triggers[index] = try (image.config.config.onBuild ?? []).map { text throws(DockerfileError) in
                    try Instruction.parse(trigger: text, at: node.stage.range)
                }
                pending += try graph.require(triggers[index] ?? [], in: index)
            }
        }
        var plan = BuildPlan(stages: [], external: [:], target: graph.target)
        for index in graph.order {
            guard let node = graph.nodes[index], let base = bases[index] else { continue }
            let instructions = (triggers[index] ?? []) + node.triggers + node.stage.instructions
            try SupportCheck.check(node)
            for instruction in instructions {
                try SupportCheck.check(instruction)
                try SupportCheck.checkGiven(instruction, for: request)
            }
            let stage = StagePlan(
                stage: node.stage, base: base, instructions: instructions, firstStep: plan.stepCount + 1, graph: graph)
            try await plan.resolveExternal(stage, with: resolver)
            plan.stages.append(stage)
        }
        return plan
    }

    private mutating func resolveExternal(_ stage: StagePlan, with resolver: ImageResolver) async throws {
        var references: [(from: Word, meaning: StageGraph.Reference)] = []
        for instruction in stage.instructions { references += try stage.references(of: instruction) }
        for (from, reference) in references {
            guard case .image(let name) = reference, external[name] == nil else { continue }
            external[name] = try await resolver.external(name, at: from.range, of: stage.stage, in: stage.graph)
        }
    }

    /// What ARGs get: the platforms, and what the command line gives.
    static func arguments(_ request: BuildRequest) -> BuildArguments {
        arguments(request.buildArguments, for: request.platform)
    }

    static func arguments(_ given: [(name: String, value: String)], for target: Platform) -> BuildArguments {
        var automatic: [String: String] = [:]
        for (prefix, platform) in [("BUILD", Platform.host), ("TARGET", target)] {
            automatic["\(prefix)PLATFORM"] = platform.description
            automatic["\(prefix)OS"] = platform.os
            automatic["\(prefix)OSVERSION"] = platform.osVersion ?? ""
            automatic["\(prefix)ARCH"] = platform.architecture
            automatic["\(prefix)VARIANT"] = platform.variant ?? ""
        }
        return BuildArguments(given: Dictionary(given.map { ($0.name, $0.value) }) { $1 }, automatic: automatic)
    }
}

/// One stage that is needed, with everything resolved that can be before it is built.
struct StagePlan: Sendable {
    enum Base: Sendable {
        case scratch
        case stage(Int)
        case image(BaseImage, name: String)
    }

    let stage: Stage
    let base: Base
    /// The triggers of the base, then the stage's own.
    let instructions: [Instruction]
    /// The number of the first instruction among those of all stages, from 1.
    let firstStep: Int
    let graph: StageGraph

    var index: Int { stage.index }

    /// The platform of an image that begins here, on nothing.
    func platform(of request: BuildRequest) throws -> Platform {
        guard let written = graph.nodes[index]?.platform else { return request.platform }
        return try Platform(parsing: written)
    }

    /// Whether a command is run in the stage.
    var runs: Bool {
        instructions.contains { if case .run = $0.kind { true } else { false } }
    }

    /// What a COPY's `--from` means here.
    func reference(_ from: Word) throws(DockerfileError) -> StageGraph.Reference {
        try graph.reference(from, in: stage.index, allowsIndex: true)
    }

    /// What a mount's `from` means here: a number is an image's name.
    func mountReference(_ from: Word) throws(DockerfileError) -> StageGraph.Reference {
        try graph.reference(from, in: stage.index, allowsIndex: false)
    }

    /// Everything that an instruction takes files from, as written and as what it is.
    func references(of instruction: Instruction) throws(DockerfileError) -> [(
        from: Word, meaning: StageGraph.Reference
    )] {
        switch instruction.kind {
        case .copy(let copy):
            guard let from = copy.from else { return [] }
            return [(from, try reference(from))]
        case .run(let run):
            var references: [(from: Word, meaning: StageGraph.Reference)] = []
            for mount in run.mounts {
                guard let from = mount.from else { continue }
                let word = Word(from, range: mount.range)
                references.append((word, try mountReference(word)))
            }
            return references
        default: return []
        }
    }

    /// Tells a step from others whatever it depends on: to say what has changed.
    func identity(of instruction: Instruction) -> Digest {
        var hash = FramedHash()
        hash.add([stage.label, instruction.original])
        return hash.finish()
    }

    /// The base as people wrote it.
    var baseName: String {
        switch base {
        case .scratch: "scratch"
        case .stage(let index): "stage \(index)"
        case .image(_, let name): name
        }
    }
}
