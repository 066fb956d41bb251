import Dockerfile
import OCI
import SystemIO
import SystemPackage

/// Finds images by the names that Dockerfiles give them: `--build-context` first, then registries.
struct ImageResolver: Sendable {
    let request: BuildRequest
    let registries: Registries
    let pool: BlockingPool
    let report: EventSink
    /// Each image is asked for once in a build: a tag that is moved meanwhile does not split it.
    private let answers = SingleFlight<[String], BaseImage>(keeps: true)

    init(request: BuildRequest, registries: Registries, pool: BlockingPool, report: @escaping EventSink) {
        self.request = request
        self.registries = registries
        self.pool = pool
        self.report = report
    }

    /// Asks for an image that will be wanted; what is wrong with it is told then.
    func fetchAhead(_ name: String, platform: String?) async {
        _ = try? await image(name, platform: platform)
    }

    /// The image that a stage's FROM names.
    ///
    /// - Throws: `BuildError` at the FROM.
    func base(
        _ name: String, platform: String?, of stage: Stage, in graph: StageGraph
    ) async throws -> BaseImage {
        let similar = similarStage(name, at: stage.base.range, of: stage, in: graph)
        do { return try await image(name, platform: platform) } catch {
            guard let similar else {
                throw BuildError(error, doing: "the base image '\(name)' cannot be used").at(stage.range)
            }
            throw BuildError(name, meaning: similar, cause: error).at(stage.range)
        }
    }

    /// What a COPY or a mount names that is no stage.
    ///
    /// - Throws: `BuildError` at `range`, where the name stands.
    func external(
        _ name: String, at range: SourceRange, of stage: Stage, in graph: StageGraph
    ) async throws -> BuildPlan.External {
        if case .folder(let path)? = context(named: name) { return .folder(path) }
        let similar = similarStage(name, at: range, of: stage, in: graph)
        do { return .image(try await image(name, platform: nil)) } catch {
            if let similar { throw BuildError(name, meaning: similar, cause: error).at(range) }
            var failure = BuildError(
                error, doing: "'\(name)' is no stage before this one, and as an image it cannot be used"
            ).at(range)
            if name.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
                failure.hint = "a number names a stage only in COPY --from: give the stage a name with AS"
            }
            throw failure
        }
    }

    /// The stage that was probably meant. The image is asked for all the same, since it may exist, as BuildKit would; but
    /// whoever mistyped a name learns of it before a registry answers, or does not.
    private func similarStage(
        _ name: String, at range: SourceRange, of stage: Stage, in graph: StageGraph
    ) -> String? {
        guard context(named: name) == nil, let similar = graph.suggestion(forImage: name, in: stage.index) else {
            return nil
        }
        let place = "\(request.dockerfile.printable):\(range.start.line)"
        report(
            .warning(
                "\(place): '\(name)' is no stage before this one; did you mean '\(similar)'? An image of that name is looked for"
            ))
        return similar
    }

    private func image(_ name: String, platform: String?) async throws -> BaseImage {
        let wanted = try platform.map { try Platform(parsing: $0) } ?? request.platform
        var layout: (path: FilePath, reference: String?)?
        var name = name
        switch context(named: name) {
        case .image(let other)?: name = other
        case .layout(let path, let reference)?: layout = (path, reference)
        case .folder(let path)?:
            throw BuildError("the context '\(name)' is the folder '\(path.printable)', and a base must be an image")
        case nil: break
        }
        return try await answers.value(of: [
            name, wanted.description, layout?.path.string ?? "", layout?.reference ?? "",
        ]) {
            [name, layout] in
            try await BaseImage.resolve(name, platform: wanted, layout: layout, registries: registries, pool: pool)
        }
    }

    /// A context by its name, or by another spelling of the same image: `golang` is `docker.io/library/golang:latest`.
    private func context(named name: String) -> BuildRequest.NamedContext? {
        if let context = request.namedContexts[name] { return context }
        guard let wanted = try? ImageReference(parsing: name) else { return nil }
        return request.namedContexts.first { (try? ImageReference(parsing: $0.key)) == wanted }?.value
    }
}

extension BuildError {
    /// An image that could not be had, and whose name is probably meant to be a stage's.
    fileprivate init(_ name: String, meaning stage: String, cause: any Error) {
        let reason = BuildError(cause, doing: "As an image it cannot be used")
        self.init(
            "'\(name)' is no stage before this one; did you mean the stage '\(stage)'? \(reason.message)",
            hint: reason.hint)
    }
}
