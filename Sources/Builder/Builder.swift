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
        var source: SourceText?
        do {
            let state = try StateDirectory(opening: request.stateDirectory)
            let scratch = try state.makeScratch()
            defer { removeScratch(scratch) }
            try request.files.check(tar: request.tarPath)
            let registries = try Registries(request.registry, pool: pool, report: report)
            async let permission: Void = checkPushPermission(registries)
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
            let tools = try makeTools(state, scratch, registries, context.time, secrets)
            let cache = StepCache(
                state, scratch: scratch, store: tools.store, policy: request.cache, latest: context.time.latest,
                pool: pool, report: report)
            let image = try await build(
                plan, context: context, tools: tools, cache: cache, registries: registries)
            try request.files.write(image.descriptor.digest, request.destinations)
            return image
        } catch {
            throw FailedBuild(error: BuildError(error, doing: "the build failed"), source: source)
        }
    }

    /// Builds the stages, publishing their layers meanwhile, and then writes and pushes the image.
    private func build(
        _ plan: BuildPlan, context: BuildContext, tools: BuildTools, cache: StepCache, registries: Registries
    ) async throws -> BuiltImage {
        let publisher = Publisher(
            destinations: Destinations(
                references: request.pushes ? request.destinations : [], registries: registries,
                ignoresImmutableTags: request.ignoresImmutableTags, report: report), blobs: tools.blobs)
        let makeFiles = try IsolationChooser(request: request, tools: tools).choose(for: plan)
        let image = try await publishing(with: publisher) { [request] publish in
            let squashes = request.squashes
            let draft = try await BuildLoop(
                plan: plan, request: request, context: context, tools: tools, cache: cache, makeFiles: makeFiles,
                publish: { if !squashes { publish($0) } }
            ).run()
            guard squashes else { return draft }
            let squashed = try await LayerSquash(tools: tools).squash(
                draft, on: try await makeFiles(false).names(of: Array(draft.layers.prefix(draft.base.layers))))
            squashed.layers.forEach(publish)
            return squashed
        }
        let outputs = LocalOutputs(
            request: request, blobs: tools.blobs, pool: pool, cancellation: cancellation, report: report)
        let tar = try await outputs.write(image)
        do { try await publisher.finish(image) } catch {
            tar?.discard()
            throw error
        }
        try tar?.commit()
        return image
    }

    /// Runs a build and uploads at the same time each layer that it hands out. When one of the two fails, the other is
    /// stopped: nobody waits for a long RUN to learn that a registry refuses the push.
    private func publishing(
        with publisher: Publisher,
        build: @escaping @Sendable (_ publish: @escaping @Sendable (StoredLayer) -> Void) async throws -> ImageDraft
    ) async throws -> BuiltImage {
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
                cancellation.cancel()
                throw error
            }
            return draft
        }
        guard let draft else { throw BuildError("[internal error] the build gave no image") }
        return try BuiltImage(draft, for: request)
    }

    private func makeTools(
        _ state: StateDirectory, _ scratch: Scratch, _ registries: Registries, _ time: CreationTime,
        _ secrets: BuildSecrets
    ) throws -> BuildTools {
        let store = BlobStore(state, scratch: scratch)
        let blobs = BlobFetcher(store: store, registries: registries, pool: pool, report: report)
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
            contexts: RootOwnedTrees(in: scratch, cancellation: cancellation),
            secrets: secrets, pool: pool, cancellation: cancellation, report: report)
    }

    private func warnOfUndeclaredArguments(_ dockerfile: Dockerfile) {
        let given = Dictionary(request.buildArguments.map { ($0.name, $0.value) }) { $1 }
        for name in BuildArguments(given: given).undeclared(in: dockerfile) {
            report(.warning("--build-arg \(name): no ARG of the Dockerfile takes it"))
        }
    }

    private func checkPushPermission(_ registries: Registries) async throws {
        guard request.pushes, request.checksPushPermission else { return }
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
