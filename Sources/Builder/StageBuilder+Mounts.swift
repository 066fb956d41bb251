import Dockerfile
import Layers
import OCI
import Sandbox
import SystemIO
import SystemPackage

/// All that the mounts of one RUN need, ready.
struct RunMounts: Sendable {
    var mounts: [PreparedMount] = []
    /// Variables that come with the mounts; they win over those of the stage. Some are secret.
    var environment: [(name: String, value: String)] = []

    /// Gives back what the run had for itself.
    func release() {
        for case .cache(let lease, _) in mounts.map(\.content) { lease.release() }
    }
}

extension StageBuilder {
    /// Finds what the mounts of a RUN show, and takes its caches.
    ///
    /// - Throws: `BuildError` at the mount that cannot be had.
    func prepareMounts(of run: RunInstruction) async throws -> RunMounts {
        var result = RunMounts()
        var caches: [(mount: RunMount.Resolved, cache: RunMount.Cache)] = []
        var agents = 0
        for written in run.mounts {
            let mount = try written.resolved()
            do {
                switch mount.kind {
                case .bind(let from, let source, let readOnly):
                    let tree = try await tree(from: from, source: source ?? "", at: mount.range)
                    result.mounts.append(try prepared(.tree(tree, readOnly: readOnly), mount))
                case .cache(let cache): caches.append((mount, cache))
                case .tmpfs(let size):
                    result.mounts.append(try prepared(.temporary(size: size.map { Int64(clamping: $0) }), mount))
                case .secret(let secret): try add(secret, mount, to: &result)
                case .ssh(let ssh):
                    if try add(ssh, mount, number: agents, to: &result) { agents += 1 }
                }
            } catch {
                throw BuildError(error, doing: "the mount cannot be made").at(mount.range)
            }
        }
        result.mounts += try await take(caches)
        return result
    }

    private func prepared(_ content: PreparedMount.Content, _ mount: RunMount.Resolved) throws -> PreparedMount {
        try prepared(content, at: mount.target ?? "", mount.range)
    }

    /// - Throws: `BuildError` for a target that is all of the image: `.` in the working directory `/`.
    private func prepared(
        _ content: PreparedMount.Content, at target: String, _ range: SourceRange
    ) throws -> PreparedMount {
        let path = PathText.joined(draft.workingDirectory, target)
        guard path != "/" else {
            throw BuildError(
                "--mount: the target '\(target)' is the root directory here", at: range,
                hint: "name a directory below /")
        }
        return PreparedMount(content: content, target: FilePath(path), range: range)
    }

    // MARK: Secrets

    private func add(_ secret: RunMount.Secret, _ mount: RunMount.Resolved, to result: inout RunMounts) throws {
        guard let value = tools.secrets[secret.id] else {
            if secret.required { throw StageBuilder.missingSecret(secret.id, at: mount.range) }
            return
        }
        if let name = secret.environment {
            guard let text = String(validating: value.bytes, as: UTF8.self), !value.bytes.contains(0) else {
                throw BuildError(
                    "the secret '\(secret.id)' cannot be the value of a variable: it is no text",
                    hint: "mount it as a file: leave env=\(name) out")
            }
            result.environment.append((name, text))
        }
        guard mount.target != nil else { return }
        let file = MemoryFile(
            contents: value.bytes, permissions: secret.owner.mode, uid: secret.owner.uid, gid: secret.owner.gid)
        result.mounts.append(try prepared(.file(file), mount))
    }

    static func missingSecret(_ id: String, at range: SourceRange) -> BuildError {
        BuildError(
            "the secret '\(id)' is required and was not given", at: range,
            hint: "give it with --secret id=\(id),src=FILE or --secret id=\(id),env=NAME")
    }

    // MARK: SSH

    /// - Returns: whether there is an agent.
    private func add(
        _ ssh: RunMount.SSH, _ mount: RunMount.Resolved, number: Int, to result: inout RunMounts
    ) throws -> Bool {
        guard let agent = tools.secrets.agents[ssh.id] else {
            if ssh.required { throw StageBuilder.missingAgent(ssh.id, at: mount.range) }
            return false
        }
        let socket = AgentSocket(
            agent: agent, permissions: ssh.owner.mode, uid: ssh.owner.uid, gid: ssh.owner.gid)
        let made = try prepared(.agent(socket), at: mount.target ?? "/run/buildkit/ssh_agent.\(number)", mount.range)
        result.mounts.append(made)
        // The variable names one socket: the first.
        if number == 0 { result.environment.append(("SSH_AUTH_SOCK", made.target.string)) }
        return true
    }

    static func missingAgent(_ id: String, at range: SourceRange) -> BuildError {
        BuildError(
            "the SSH agent '\(id)' is required and was not given", at: range,
            hint: id == "default" ? "forward yours with --ssh default" : "forward one with --ssh \(id)=SOCKET")
    }

    // MARK: Trees

    private func tree(from: String?, source: String, at range: SourceRange) async throws -> MountTree {
        let origin = try await origin(from, at: range)
        return try await tools.pool.run { () throws(any Error) in
            try MountTree(source, in: origin.source, trees: origin.trees)
        }
    }

    /// Where a mount takes its files, the trees that are stacked there, and what tells its state from another.
    private struct Origin {
        let source: CopyOperation.Source
        let trees: [Directory]
        let identity: [String]
    }

    private func origin(_ from: String?, at range: SourceRange) async throws -> Origin {
        guard let from else {
            let context = surroundings.context
            return Origin(source: context.source, trees: [context.root], identity: ["context"])
        }
        func layered(_ files: any StageFiles, _ layers: [StoredLayer], _ name: String) async throws -> Origin {
            Origin(
                source: CopyOperation.Source(
                    tree: try await files.contents(of: layers), ignored: IgnorePatterns.none, keepsOwners: true,
                    name: name),
                trees: try await files.trees(of: layers), identity: layers.map(\.layer.diffID.description))
        }
        switch try plan.mountReference(Word(from, range: range)) {
        case .stage(let index):
            let finished = try await surroundings.stage(index)
            return try await layered(finished.files, finished.layers, "stage '\(from)'")
        case .image(let name):
            switch surroundings.external[name] {
            case .image(let image, let files)?: return try await layered(files, image.layers, "the image \(name)")
            case .folder(let folder)?:
                return Origin(
                    source: .init(folder: folder, name: name), trees: [folder], identity: ["context", name])
            case nil: throw BuildError("[internal error] '\(name)' was not resolved", at: range)
            }
        case .scratch:
            let empty = try tools.scratch.makeFolder("scratch")
            let source = CopyOperation.Source(
                tree: UnionTree(layers: [.plain(empty)]), ignored: IgnorePatterns.none, keepsOwners: false,
                name: "scratch")
            return Origin(source: source, trees: [empty], identity: [])
        }
    }

    // MARK: Caches

    /// Takes every cache, always in the same order: two builds never wait for each other.
    private func take(_ wanted: [(mount: RunMount.Resolved, cache: RunMount.Cache)]) async throws -> [PreparedMount] {
        struct Request {
            let key: CacheMounts.Key
            var sharing: RunMount.Sharing
            let fill: MountTree?
            let range: SourceRange
        }
        var requests: [CacheMounts.Key: Request] = [:]
        var keys: [CacheMounts.Key] = []
        for (mount, cache) in wanted {
            do {
                let (key, fill) = try await identify(cache, at: mount.range)
                keys.append(key)
                // One cache at two names of one RUN is taken once, in the strictest way that was asked for.
                var sharing = StageBuilder.stricter(requests[key]?.sharing, cache.sharing)
                if files.movesCaches, sharing == .shared { sharing = .locked }
                requests[key] = Request(key: key, sharing: sharing, fill: fill, range: mount.range)
            } catch {
                throw BuildError(error, doing: "the cache cannot be used").at(mount.range)
            }
        }
        var leases: [CacheMounts.Key: CacheLease] = [:]
        for request in requests.values.sorted(by: { $0.key.name.string < $1.key.name.string }) {
            let (key, owner) = (request.key, request.key.owner)
            let copy = TreeCopy(cancellation: tools.cancellation)
            let arrival = await tools.carrier.bring(key, tools)
            do {
                let lease = try await tools.caches.take(
                    key, sharing: request.sharing, pool: tools.pool
                ) { [tools] name, folder in
                    if let arrival, tools.carrier.lay(arrival, as: name, in: folder, owner, tools) { return }
                    guard let tree = request.fill else { return try CacheMounts.makeEmpty(name, in: folder, owner) }
                    try copy.copy(tree, to: name, in: folder)
                }
                tools.carrier.use(key, lease)
                leases[key] = lease
            } catch {
                throw BuildError(error, doing: "the cache '\(request.key.id)' cannot be used").at(request.range)
            }
        }
        return try zip(wanted, keys).compactMap { wanted, key in
            try leases[key].map { try prepared(.cache($0, readOnly: wanted.cache.readOnly), wanted.mount) }
        }
    }

    private func identify(
        _ cache: RunMount.Cache, at range: SourceRange
    ) async throws -> (CacheMounts.Key, fill: MountTree?) {
        var key = CacheMounts.Key(namespace: tools.caches.namespace, id: cache.id, owner: cache.owner, origin: [])
        guard cache.from != nil else {
            guard cache.source == nil else {
                throw BuildError(
                    "the source of a cache needs a stage or an image that it is in", at: range,
                    hint: "name it with from=, or leave source out")
            }
            return (key, nil)
        }
        let tree = try await tree(from: cache.from, source: cache.source ?? "", at: range)
        guard tree.isDirectory else {
            throw BuildError("a cache begins with a folder, and '\(cache.source ?? "")' is a file")
        }
        key.origin = try await origin(cache.from, at: range).identity + [cache.source ?? ""]
        return (key, tree)
    }

    private static func stricter(_ one: RunMount.Sharing?, _ other: RunMount.Sharing) -> RunMount.Sharing {
        let order: [RunMount.Sharing] = [.locked, .private, .shared]
        return order.first { $0 == one || $0 == other } ?? other
    }
}
