import Dockerfile
import Layers
import OCI
import SystemIO

/// What a stage has come to between two steps: a value that knows no file, so that it can be carried forward before any work is done.
struct StageState: Sendable {
    let plan: StagePlan
    var draft: ImageDraft
    var scope: StageScope
    /// Whether CMD was given in this very stage.
    var commandIsOwn = false
    var identity: StageIdentity

    /// A stage before its first step.
    ///
    /// - Parameter base: the finished stage that it starts from, for one that does.
    init(_ plan: StagePlan, on base: StageState?, platform: Platform, created: Timestamp) throws {
        self.plan = plan
        switch plan.base {
        case .stage(let index):
            guard let base else {
                throw BuildError("[internal error] stage \(index) is not built", at: plan.stage.range)
            }
            draft = base.draft
            draft.update { $0.onBuild = nil }
            scope = StageScope(inheriting: base.scope)
            identity = base.identity
            return
        case .scratch: draft = ImageDraft(scratchFor: platform, created: created)
        case .image(let image, _): draft = ImageDraft(base: image, created: created)
        }
        // A base without PATH gets the usual one, also in its config.
        if !draft.environment.contains(where: { $0.hasPrefix("PATH=") }) {
            draft.setEnvironment(draft.environment + ["PATH=\(ImageDraft.defaultPath)"])
        }
        scope = StageScope(global: plan.graph.global, baseEnvironment: draft.environment)
        identity = StageIdentity(of: draft.layers)
    }

    /// Takes over what an expanded instruction means for those after it.
    mutating func settle(_ instruction: Instruction) throws {
        try scope.apply(instruction)
        if case .env = instruction.kind { draft.setEnvironment(scope.configEnvironment) }
    }

    /// The place that a WORKDIR names.
    func directory(_ written: String) -> ImagePath {
        ImagePath(cleaning: written, below: ImagePath(cleaning: draft.workingDirectory))
    }

    // MARK: Commands

    /// The words that a RUN executes: the shell form with the stage's shell, the JSON form as it is.
    func arguments(of run: RunInstruction) -> [String] {
        switch run.command {
        case .shell(let text): draft.shell + [text]
        case .exec(let words): words
        case .script(let name, _): draft.shell + ["/dev/pipes/\(name)"]
        }
    }
}

/// What tells the files of a stage from others, between two steps.
struct StageIdentity: Sendable, Hashable {
    /// By what its steps are: known before any work; `nil` after a step whose result only doing it can tell.
    var defined: Digest?
    /// By what its steps have made; `nil` where a layer is not known yet.
    var known: Digest?

    /// That of a base image: its layers as files.
    init(of layers: [StoredLayer]) {
        known = StageIdentity.files(of: layers)
        defined = known
    }

    static func files(of layers: [StoredLayer]) -> Digest {
        var hash = FramedHash()
        hash.add("layers")
        hash.add(layers.map(\.layer.diffID.description))
        return hash.finish()
    }

    /// What a step makes of a stage whose layer no key could foretell.
    static func files(of layer: StoredLayer?, on below: Digest) -> Digest {
        guard let layer else { return below }
        var hash = FramedHash()
        hash.add("layer on")
        hash.add(below)
        hash.add(layer.layer.diffID)
        return hash.finish()
    }
}
