import Dockerfile
import Glibc
import Layers
package import OCI
import Sandbox
package import SystemIO
import SystemPackage

/// The build: from a request to an image at its destinations. Read `build` from top to bottom to see all of it.
package struct Builder: Sendable {
    private let request: BuildRequest
    private let cancellation: Cancellation
    private let report: EventSink
    private let pool: BlockingPool

    /// - Parameters:
    ///   - cancellation: once set, the build ends soon with an error, and cleans up.
    ///   - report: told what happens.
    package init(request: BuildRequest, cancellation: Cancellation, report: @escaping EventSink) {
        self.request = request
        self.cancellation = cancellation
        self.report = report
        // Each transfer, each unpacking and each RUN holds a thread while it blocks.
        pool = BlockingPool(width: 16)
    }

    /// Builds the image and brings it to every output.
    ///
    /// After success all outputs exist. After failure the tar and the files for digest and names are as they were before. Blobs that were uploaded
    /// may remain, unnamed, until the registry collects them; of several tags some may be set when a later one is refused, and an
    /// OCI layout may hold the image when the push failed. The scratch folder is gone either way.
    /// - Throws: `FailedBuild`.
    package func build() async throws -> BuiltImage {
        try await prepared(checksOutputs: true) { build in
            let image = try await self.image(of: build)
            try request.files.write(image.descriptor.digest, request.destinations)
            return image
        }
    }

    /// Finds out what `build` would do. The context and documents of images and caches are fetched, and nothing else is done.
    /// - Throws: `FailedBuild`.
    package func outline() async throws -> BuildOutline {
        try await prepared(checksOutputs: false) { build in
            try await loop(build, makeFiles: { tools, _ in ListedFiles(tools) }, publish: { _ in }).outline()
        }
    }

    /// All that is known when the work begins.
    private struct Preparation: Sendable {
        let plan: BuildPlan
        let context: BuildContext
        let tools: BuildTools
        let cache: StepCache
        let caches: RegistryCaches
        let registries: Registries
    }

    private func prepared<T>(
        checksOutputs: Bool, _ body: (Preparation) async throws -> T
    ) async throws -> T {
        var source: SourceText?
        do {
            let state = try StateDirectory(opening: request.stateDirectory)
            let scratch = try state.makeScratch()
            defer { removeScratch(scratch) }
            if checksOutputs { try request.files.check(tar: request.tarPath) }
            let registries = try Registries(request.registry, pool: pool, report: report)
            let caches = RegistryCaches(request, registries: registries, report: report)
            async let permission: Void = checkPushPermission(registries, isWanted: checksOutputs)
            async let remote = caches.load()
            let folder = try await ContextFolder.make(
                request, registries: registries, scratch: scratch, pool: pool, cancellation: cancellation,
                report: report)
            let context = try await pool.run { [request, report] () throws(any Error) in
                try BuildContext.read(folder, request, report: report)
            }
            source = context.dockerfile
            let dockerfile = try Dockerfile(parsing: context.dockerfile)
            warnOfUndeclaredArguments(dockerfile)
            let plan = try await BuildPlan.make(
                dockerfile, request, registries: registries, pool: pool, report: report)
            try BuildChecks(request: request, report: report).run(on: dockerfile, plan: plan, context: context)
            let secrets = try await pool.run { [request] () throws(any Error) in try BuildSecrets(reading: request) }
            try await permission
            let found = await remote
            let carrier = MountCarrier(request.cache, remote: found, report: report)
            let tools = try makeTools(state, scratch, registries, context.time, secrets, carrier)
            let cache = StepCache(
                StepRecords(state, scratch: scratch, report: report), store: tools.store, lent: tools.blobs.cached,
                policy: request.cache, remote: found, latest: context.time.latest, pool: pool, report: report)
            return try await body(
                Preparation(
                    plan: plan, context: context, tools: tools, cache: cache, caches: caches, registries: registries))
        } catch {
            throw FailedBuild(error: BuildError(error, doing: "the build failed"), source: source)
        }
    }

    private func loop(
        _ build: Preparation, makeFiles: @escaping MakeStageFiles,
        publish: @escaping @Sendable (StoredLayer) -> Void
    ) -> BuildLoop {
        BuildLoop(
            plan: build.plan, request: request, context: build.context, tools: build.tools, cache: build.cache,
            makeFiles: makeFiles, publish: publish)
    }

    /// Builds, and keeps what was done in registries, also of a build that failed: the next one need not do it again.
    private func image(of build: Preparation) async throws -> BuiltImage {
        do {
            let image = try await makeImage(build)
            await keep(build, isPushed: request.pushes)
            return image
        } catch {
            if !Task.isCancelled { await keep(build, isPushed: false) }
            throw error
        }
    }

    private func keep(_ build: Preparation, isPushed: Bool) async {
        guard !request.cache.targets.isEmpty else { return }
        await build.caches.add(
            build.cache.results, await build.tools.carrier.pack(build.tools), blobs: build.tools.blobs,
            isPushed: isPushed)
    }

    /// Builds the stages, publishing their layers meanwhile, and then writes and pushes the image.
    private func makeImage(_ build: Preparation) async throws -> BuiltImage {
        let publisher = Publisher(
            destinations: Destinations(
                references: request.pushes ? request.destinations : [], registries: build.registries,
                ignoresImmutableTags: request.ignoresImmutableTags, report: report), blobs: build.tools.blobs)
        let makeFiles = try IsolationChooser(request: request, tools: build.tools).choose(for: build.plan)
        let outputs = LocalOutputs(
            request: request, blobs: build.tools.blobs, pool: pool, cancellation: cancellation, report: report)
        while true {
            let losses = build.tools.blobs.cached.losses
            do {
                let image = try await publishing(with: publisher, cached: build.tools.blobs.cached) { publish in
                    try await draft(build, makeFiles, publish)
                }
                let tar = try await outputs.write(image)
                guard build.tools.blobs.cached.losses == losses else {
                    tar?.discard()
                    continue
                }
                do { try await publisher.finish(image) } catch {
                    tar?.discard()
                    throw error
                }
                try tar?.commit()
                return image
            } catch {
                // Each time around, at least one layer of a cache is out of the game.
                guard build.tools.blobs.cached.losses > losses, !cancellation.isCancelled, !Task.isCancelled else {
                    throw error
                }
            }
        }
    }

    private func draft(
        _ build: Preparation, _ makeFiles: @escaping MakeStageFiles,
        _ publish: @escaping @Sendable (StoredLayer) -> Void
    ) async throws -> ImageDraft {
        let squashes = request.squashes
        let draft = try await loop(build, makeFiles: makeFiles, publish: { if !squashes { publish($0) } }).run()
        guard squashes else { return draft }
        let base = try await makeFiles(build.tools, false).names(of: Array(draft.layers.prefix(draft.base.layers)))
        let squashed = try await LayerSquash(tools: build.tools).squash(draft, on: base)
        squashed.layers.forEach(publish)
        return squashed
    }

    /// Runs a build and uploads at the same time each layer that it hands out. When one of the two fails, the other is
    /// stopped: nobody waits for a long RUN to learn that a registry refuses the push.
    private func publishing(
        with publisher: Publisher, cached: CachedLayers,
        build: @escaping @Sendable (_ publish: @escaping @Sendable (StoredLayer) -> Void) async throws -> ImageDraft
    ) async throws -> BuiltImage {
        let losses = cached.losses
        let (layers, continuation) = AsyncStream.makeStream(of: StoredLayer.self)
        let draft = try await withThrowingTaskGroup(of: ImageDraft?.self) { [cancellation] group in
            group.addTask {
                try await publisher.publish(layers: layers)
                return nil
            }
            group.addTask {
                defer { continuation.finish() }
                return try await build { continuation.yield($0) }
            }
            var draft: ImageDraft?
            do {
                while let result = try await group.next() { draft = result ?? draft }
            } catch {
                if cached.losses == losses { cancellation.cancel() }
                throw error
            }
            return draft
        }
        guard let draft else { throw BuildError("[internal error] the build gave no image") }
        return try BuiltImage(draft, for: request)
    }

    private func makeTools(
        _ state: StateDirectory, _ scratch: Scratch, _ registries: Registries, _ time: CreationTime,
        _ secrets: BuildSecrets, _ carrier: MountCarrier
    ) throws -> BuildTools {
        let store = BlobStore(state, scratch: scratch)
        let blobs = BlobFetcher(
            store: store, registries: registries, cached: CachedLayers(), pool: pool, report: report)
        let namespace = request.buildArguments.last { $0.name == "BUILDKIT_CACHE_MOUNT_NS" }?.value ?? ""
        return BuildTools(
            scratch: scratch, store: store,
            trees: TreeStore(state, scratch: scratch, store: store, cancellation: cancellation, report: report),
            usesUserAttributes: state.attributes == .user,
            maker: LayerMaker(
                store: store, compression: request.compression, threads: request.threads, latest: time.latest,
                cancellation: cancellation),
            blobs: blobs, indices: LayerIndices(state, blobs: blobs, pool: pool, cancellation: cancellation),
            remotes: RemoteSources(
                request, files: registries.files, secrets: secrets, scratch: scratch, pool: pool,
                cancellation: cancellation, report: report),
            sandbox: Sandbox(hostFiles: try HostFiles.ofBuilder(), usesUserAttributes: state.attributes == .user),
            caches: CacheMounts(
                folder: state.mounts, namespace: namespace, cancellation: cancellation, report: report),
            carrier: carrier, contexts: RootOwnedTrees(in: scratch, cancellation: cancellation),
            secrets: secrets, pool: pool, cancellation: cancellation, report: report,
            slots: StepSlots(count: request.threads))
    }

    private func warnOfUndeclaredArguments(_ dockerfile: Dockerfile) {
        let given = Dictionary(request.buildArguments.map { ($0.name, $0.value) }) { $1 }
        for name in BuildArguments(given: given).undeclared(in: dockerfile) {
            report(.warning("--build-arg \(name): no ARG of the Dockerfile takes it"))
        }
    }

    private func checkPushPermission(_ registries: Registries, isWanted: Bool) async throws {
        guard isWanted, request.pushes, request.checksPushPermission else { return }
        try await PushPermission(destinations: request.destinations, registries: registries).check(
            otherwise: "nothing was built")
    }

    private func removeScratch(_ scratch: Scratch) {
        do { try scratch.remove() } catch {
            report(
                .warning(
                    "the scratch folder '\(scratch.path.printable)' could not be removed: \(error); the next build will"
                ))
        }
    }
}

/// A finished image: its documents, and where its layers are.
package struct BuiltImage: Sendable {
    package let descriptor: Descriptor
    let manifestBytes: [UInt8]
    let configBytes: [UInt8]
    let manifest: Manifest
    let layers: [StoredLayer]

    /// Of the manifest: the name under which a registry knows the image.
    package var digest: String { descriptor.digest.description }

    init(_ draft: ImageDraft, for request: BuildRequest) throws {
        let annotations = Dictionary(request.annotations.map { ($0.name, $0.value) }) { $1 }
        (configBytes, manifestBytes, manifest, descriptor, layers) = try draft.finish(
            as: request.imageFormat, annotations: annotations.isEmpty ? nil : annotations)
    }
}

/// A build that failed, with the text that the error points into.
package struct FailedBuild: Error {
    package let error: BuildError
    let source: SourceText?

    /// The report for people: place, reason, excerpt, hint.
    package func text(dockerfile name: String) -> String {
        guard error.range != nil else {
            let lines = ["error: \(error.message)"] + (error.hint.map { ["hint: \($0)"] } ?? [])
            return lines.map(SourceExcerpt.printable).joined(separator: "\n")
        }
        let report = SourceExcerpt.report(
            DockerfileError(error.message, at: error.range, hint: error.hint), in: source, name: name)
        return report.hidingUserInformation
    }
}
