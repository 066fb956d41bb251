import Dockerfile
import Layers
import OCI
import SystemIO

/// Finds what a step's layer depends on.
///
/// What is not among the inputs does not make another layer: times of files, contents of cache mounts, values of secrets, the
/// isolation, proxies that no ARG declares.
struct StepKeys: Sendable {
    let context: BuildContext
    /// Images and folders that are no stages.
    let external: [String: StageBuilder.ExternalSource]
    let files: FilesDigests
    let remotes: RemoteContents
    let compression: CompressionPipeline.Format

    /// The inputs of an expanded instruction that makes a layer.
    ///
    /// - Parameters:
    ///   - below: the identity of what the stage holds before the step.
    ///   - stages: the identities of the stages that the step takes files from.
    ///   - contents: what servers have at the addresses of an ADD that may change; see `RemoteContents`.
    /// - Returns: `nil` if they are not known before the step is done: something is fetched that may change, a stage's identity
    ///   is missing, or files are.
    func inputs(
        of instruction: Instruction, in state: StageState, on below: Digest, stages: [Int: Digest],
        contents: [Digest: String] = [:]
    ) async throws -> StepInputs? {
        var inputs = begin(instruction, in: state, on: below)
        let hasAll =
            switch instruction.kind {
            case .run(let run): try await add(run, state, stages, to: &inputs)
            case .copy(let copy): try await add(copy, state, stages, to: &inputs)
            case .add(let add): try await self.add(add, contents, to: &inputs)
            case .workdir(let path): add(directory: path.text, state, to: &inputs)
            default: false
            }
        return hasAll ? inputs : nil
    }

    /// The inputs of a COPY from elsewhere, by the files that it copies.
    func inputs(
        of copy: CopyInstruction, _ instruction: Instruction, in state: StageState, on below: Digest,
        files: FilesDigest
    ) -> StepInputs {
        var inputs = begin(instruction, in: state, on: below)
        add(copy.sources, copy.destination, copy.options, keepsParents: copy.parents, to: &inputs)
        inputs.add("copied files", files.digest)
        return inputs
    }

    /// What an instruction reads of the context and of folders that the command line names.
    func files(of instruction: Instruction, in state: StageState) throws -> [FilesOfFolder] {
        switch instruction.kind {
        case .copy(let copy):
            let paths = CopiedPaths(copy.sources, copy.options, keepsParents: copy.parents)
            return [filesOfFolder(try copy.from.map { try state.plan.reference($0) }, paths)].compactMap(\.self)
        case .add(let add):
            let words = try AddSource.all(of: add).compactMap { if case .local(let word) = $0 { word } else { nil } }
            guard !words.isEmpty else { return [] }
            return [filesOfFolder(nil, CopiedPaths(words.map { .path($0) }, add.options))].compactMap(\.self)
        case .run(let run):
            return try run.mounts.compactMap { written in
                let mount = try written.resolved()
                guard let (from, source) = mount.origin else { return nil }
                let reference = try from.map { try state.plan.mountReference(Word($0, range: mount.range)) }
                return filesOfFolder(reference, CopiedPaths(path: source, range: mount.range))
            }
        default: return []
        }
    }

    private func filesOfFolder(_ reference: StageGraph.Reference?, _ paths: CopiedPaths) -> FilesOfFolder? {
        guard let reference else {
            return FilesOfFolder(paths: paths, source: context.source, place: StepKeys.contextPlace)
        }
        guard case .image(let name) = reference, case .folder(let folder)? = external[name] else { return nil }
        return FilesOfFolder(
            paths: paths, source: .init(folder: folder, name: name), place: StepKeys.place(ofFolder: name))
    }

    private static let contextPlace = ["context"]

    private static func place(ofFolder name: String) -> [String] { ["folder", name] }

    private func begin(_ instruction: Instruction, in state: StageState, on below: Digest) -> StepInputs {
        var inputs = StepInputs()
        inputs.add("what is below", below)
        inputs.add("instruction", [instruction.name])
        inputs.add("platform", [state.draft.config.platform.description])
        inputs.add("working directory", [state.draft.workingDirectory])
        inputs.add("compression", [compression.keyText])
        inputs.add("times", [context.time.latest == nil ? "real" : "bounded"])
        return inputs
    }

    // MARK: COPY, ADD, WORKDIR

    private func add(
        _ copy: CopyInstruction, _ state: StageState, _ stages: [Int: Digest], to inputs: inout StepInputs
    ) async throws -> Bool {
        add(copy.sources, copy.destination, copy.options, keepsParents: copy.parents, to: &inputs)
        let paths = CopiedPaths(copy.sources, copy.options, keepsParents: copy.parents)
        guard let from = copy.from else { return try await add(nil, paths, stages, "context", to: &inputs) }
        return try await add(state.plan.reference(from), paths, stages, from.text, to: &inputs)
    }

    private func add(
        _ sources: [FileSource], _ destination: Word, _ options: FileOptions, keepsParents: Bool,
        to inputs: inout StepInputs
    ) {
        inputs.add("sources", sources.map(\.withoutUserInformation).map(\.keyText))
        inputs.add("destination", [destination.text])
        inputs.add(
            "options",
            [options.chown?.text ?? "", options.chmod?.text ?? "", "\(options.link)", "\(keepsParents)"]
                + options.excludes.map(\.text))
        for case .heredoc(let heredoc) in sources { inputs.add("heredoc \(heredoc.name)", [heredoc.contents]) }
    }

    private func add(
        _ add: AddInstruction, _ contents: [Digest: String], to inputs: inout StepInputs
    ) async throws -> Bool {
        self.add(add.sources, add.destination, add.options, keepsParents: false, to: &inputs)
        inputs.add("unpacks", [add.unpack.map { "\($0)" } ?? "local archives"])
        var local: [FileSource] = []
        for source in try AddSource.all(of: add) {
            switch source {
            case .local(let word): local.append(.path(word))
            case .file(let file, _):
                guard let checksum = file.checksum?.description ?? contents[file.address] else { return false }
                inputs.add("file \(file.url)", [checksum])
            case .git(let source, _):
                guard let commit = source.wholeCommit ?? contents[source.address] else { return false }
                inputs.add(
                    "repository \(source.location.url)",
                    [
                        commit, source.subdirectory.relativeText, "\(source.keepsGitFolder == true)",
                        "\(source.includesSubmodules)",
                    ])
            }
        }
        guard !local.isEmpty else { return true }
        return try await self.add(nil, CopiedPaths(local, add.options), [:], "context", to: &inputs)
    }

    private func add(directory written: String, _ state: StageState, to inputs: inout StepInputs) -> Bool {
        inputs.add("directory", [state.directory(written).absolute])
        inputs.add("user", [state.draft.user])
        return true
    }

    // MARK: RUN

    private func add(
        _ run: RunInstruction, _ state: StageState, _ stages: [Int: Digest], to inputs: inout StepInputs
    ) async throws -> Bool {
        inputs.add("command", state.arguments(of: run))
        if case .script(_, let contents) = run.command { inputs.add("script", [contents]) }
        inputs.add("user", [state.draft.user])
        inputs.add("network", [run.network?.value.rawValue ?? "default"])
        for variable in state.scope.ownVariables.variables {
            inputs.add("variable \(variable.name)", [variable.value])
        }
        for (number, written) in run.mounts.enumerated() {
            let mount = try written.resolved()
            inputs.add("mount \(number + 1)", mount.keyTexts)
            guard let (from, source) = mount.origin else { continue }
            let reference = try from.map { try state.plan.mountReference(Word($0, range: mount.range)) }
            let paths = CopiedPaths(path: source, range: mount.range)
            guard try await add(reference, paths, stages, from ?? "context", to: &inputs) else { return false }
        }
        return true
    }

    // MARK: Sources

    /// Adds the identity of what files are taken from.
    ///
    /// - Returns: whether it is known.
    private func add(
        _ reference: StageGraph.Reference?, _ paths: CopiedPaths, _ stages: [Int: Digest], _ name: String,
        to inputs: inout StepInputs
    ) async throws -> Bool {
        let found: FilesDigest?
        switch reference {
        case nil: found = try await files.digest(of: paths, in: context.source, named: StepKeys.contextPlace)
        case .stage(let index)?:
            guard let identity = stages[index] else { return false }
            inputs.add("stage \(name)", identity)
            return true
        case .scratch?:
            inputs.add("scratch", [])
            return true
        case .image(let image)?:
            switch external[image] {
            case .image(let image, _)?:
                inputs.add("image \(name)", StageIdentity.files(of: image.layers))
                return true
            case .folder(let folder)?:
                found = try await files.digest(
                    of: paths, in: .init(folder: folder, name: image), named: StepKeys.place(ofFolder: image))
            case nil: return false
            }
        }
        guard let found else { return false }
        inputs.add("files of \(name)", found.digest)
        return true
    }
}

extension CopyOperation.Source {
    /// A folder that the command line gives a name.
    init(folder: Directory, name: String) {
        self.init(
            tree: UnionTree(layers: [.plain(folder)]), ignored: IgnorePatterns.none, keepsOwners: false,
            name: "the context '\(name)'")
    }
}

extension CompressionPipeline.Format {
    fileprivate var keyText: String {
        switch self {
        case .none: "none"
        case .gzip(let level): "gzip \(level.map { "\($0)" } ?? "")"
        case .zstd(let level): "zstd \(level)"
        }
    }
}

extension Instruction {
    /// Whether the instruction may make a layer; the others change the config only.
    var makesLayer: Bool {
        switch kind {
        case .run, .copy, .add, .workdir: true
        default: false
        }
    }
}

extension FileSource {
    fileprivate var keyText: String {
        switch self {
        case .path(let word): word.text
        case .heredoc(let heredoc): "<<\(heredoc.name)"
        }
    }
}

extension RunMount.Resolved {
    /// All that the mount is, but for contents that are not the Dockerfile's affair: a cache's, a secret's, an agent's.
    fileprivate var keyTexts: [String] {
        func owner(_ owner: RunMount.Owner) -> [String] { ["\(owner.uid)", "\(owner.gid)", "\(owner.mode)"] }
        let target = target ?? ""
        return switch kind {
        case .bind(let from, let source, let readOnly):
            ["bind", target, from ?? "", source ?? "", "\(readOnly)"]
        case .cache(let cache):
            ["cache", target, cache.id, cache.from ?? "", cache.source ?? "", "\(cache.readOnly)"]
                + owner(cache.owner)
        case .tmpfs(let size): ["tmpfs", target, size.map { "\($0)" } ?? ""]
        case .secret(let secret): ["secret", target, secret.id, secret.environment ?? ""] + owner(secret.owner)
        case .ssh(let ssh): ["ssh", target, ssh.id] + owner(ssh.owner)
        }
    }

    /// Where the files are taken from that are seen in the mount, and by which path.
    fileprivate var origin: (from: String?, source: String)? {
        switch kind {
        case .bind(let from, let source, _): (from, source ?? "")
        case .cache(let cache): cache.from.map { ($0, cache.source ?? "") }
        case .tmpfs, .secret, .ssh: nil
        }
    }
}
