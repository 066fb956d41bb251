import Glibc
import Layers
package import OCI
import Registry
package import SystemIO
import SystemPackage

/// The push of an image that is on this machine already: an OCI layout, or a tar that holds one or is `docker save`'s. Read `push` from top
/// to bottom to see all of it.
package struct Pusher: Sendable {
    private let request: PushRequest
    private let cancellation: Cancellation
    private let report: EventSink
    private let pool: BlockingPool

    /// - Parameters:
    ///   - cancellation: once set, the push ends soon with an error, and cleans up.
    ///   - report: told what happens.
    package init(request: PushRequest, cancellation: Cancellation, report: @escaping EventSink) {
        self.request = request
        self.cancellation = cancellation
        self.report = report
        pool = BlockingPool(width: 16)
    }

    /// Brings the image to every destination. Manifests and indexes arrive byte for byte.
    ///
    /// After a failure some destinations may have the image; the error names those that have not.
    /// - Returns: the digest of the image at its destinations.
    /// - Throws: `FailedBuild`.
    package func push() async throws -> Digest {
        do {
            try request.files.check()
            let registries = try Registries(request.registry, pool: pool, report: report)
            async let permission: Void = checkPermission(registries)
            let (image, scratch) = try await pool.run { () throws(any Error) in try open() }
            // What cannot be removed, the next build removes.
            defer { try? scratch?.remove() }
            guard let root = image.documents.last?.descriptor else { throw BuildError("[internal error] no document") }
            report(.note("pushing \(root.digest), \(image.blobs.count) blobs, from \(request.source.printable)"))
            try await permission
            let destinations = Destinations(
                references: request.destinations, registries: registries,
                ignoresImmutableTags: request.ignoresImmutableTags, report: report)
            try await destinations.publish(image.documents) { repository, _ in
                try await image.blobs.forEachConcurrently(width: Publisher.width) { blob in
                    try await upload(blob, of: image, to: repository, by: destinations.client(for: repository))
                }
            }
            try request.files.write(root.digest, request.destinations)
            return root.digest
        } catch {
            throw FailedBuild(error: BuildError(error, doing: "the image was not pushed"), source: nil)
        }
    }

    private func checkPermission(_ registries: Registries) async throws {
        guard request.checksPushPermission else { return }
        try await PushPermission(destinations: request.destinations, registries: registries).check(
            otherwise: "nothing was pushed")
    }

    /// Finds the image in its source; with a scratch folder where it had to be unpacked.
    private func open() throws -> (image: LocalImageSource, scratch: Scratch?) {
        let name = request.source.printable
        let folder = try openFolder()
        do {
            if let folder, ImageLayout.isOne(folder) {
                return (try LocalImageSource(layout: try ImageLayout(folder, name: name), name: request.image), nil)
            }
            let state = try StateDirectory(opening: request.stateDirectory)
            let scratch = try state.makeScratch()
            do {
                let folder = try folder ?? unpack(into: scratch)
                let store = BlobStore(state, scratch: scratch)
                return (try image(in: folder, store: store), scratch)
            } catch {
                try? scratch.remove()
                throw error
            }
        } catch let error as LayerError {
            throw BuildError(error, doing: "the image cannot be read")
        }
    }

    private func image(in folder: Directory, store: BlobStore) throws -> LocalImageSource {
        let name = request.source.printable
        if ImageLayout.isOne(folder) {
            return try LocalImageSource(layout: try ImageLayout(folder, name: name), name: request.image)
        }
        guard DockerArchive.isOne(folder) else {
            throw BuildError(
                "'\(name)' holds no image: it has neither an oci-layout nor a manifest.json",
                hint: "push what --tar-path or --oci-layout-path wrote, or docker save, or skopeo copy")
        }
        return try LocalImageSource(
            archive: try DockerArchive(folder, name: name), name: request.image, store: store,
            threads: request.threads, cancellation: cancellation)
    }

    /// The source, if it is a folder.
    private func openFolder() throws -> Directory? {
        do throws(SystemError) { return try Directory(opening: request.source) } catch {
            guard error.errno == .notDirectory else {
                throw BuildError("'\(request.source.printable)' cannot be read: \(error)")
            }
            return nil
        }
    }

    private func unpack(into scratch: Scratch) throws -> Directory {
        let name = request.source.printable
        let file: OwnedDescriptor
        do { file = try OwnedDescriptor.open(request.source, O_RDONLY) } catch {
            throw BuildError("'\(name)' cannot be read: \(error)")
        }
        let folder = try scratch.makeFolder("image")
        do throws(LayerError) {
            try ArchiveUnpacker.unpack(file, name: name, into: folder, cancellation: cancellation)
        } catch {
            throw BuildError(
                "'\(name)' cannot be unpacked: \(error)",
                hint: "an image is a tar, plain or compressed, or the folder of an OCI layout")
        }
        return folder
    }

    private func upload(
        _ blob: Descriptor, of image: LocalImageSource, to repository: Destinations.Repository,
        by client: RegistryClient
    ) async throws {
        let range = try await pool.run { [path = request.source] () throws(any Error) in
            FileRange(taking: try image.open(blob), count: blob.size, path: path)
        }
        do throws(RegistryError) {
            let progress = TransferProgress(of: blob, .to(repository.description), report: report)
            let sent = try await client.uploadBlob(
                blob, repository: repository.name, source: .range(range), onSent: progress.note)
            report(.pushed(blob, to: repository.description, how: sent ? .uploaded : .present))
        } catch {
            guard error.codes.contains("DIGEST_INVALID") else { throw error }
            // The registry has noticed; whose fault it is, is found out here.
            let isSound = try await pool.run { () throws(any Error) in try image.isSound(blob) }
            guard isSound else {
                throw BuildError("'\(request.source.printable)' is damaged: the blob \(blob.digest) has other content")
            }
            throw error
        }
    }
}
