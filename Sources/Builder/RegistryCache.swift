import FoundationEssentials
import Layers
import OCI
import Registry
import SystemIO

/// Results of steps in a registry: all that one build may want are in one manifest, which one request brings.
struct RegistryCache: Sendable {
    let place: CachePolicy.Place
    /// The tag of what is built here, where the place names none.
    let usualTag: String
    let registries: Registries
    let report: EventSink

    private var tag: String { place.tag ?? usualTag }
    /// In a repository whose tags cannot be moved each document gets a tag of its own: this, the time, and a few digits.
    private var datedPrefix: String { "\(tag)-" }

    private func reference(_ tag: String) -> ImageReference {
        ImageReference(registry: place.registry, repository: place.repository, tag: tag)
    }

    // MARK: Reading

    /// All records that are there. What cannot be read is a warning; that there is nothing yet is none.
    func load() async -> CacheDocument {
        async let usual = load(tag)
        async let dated = newestDated()
        let document = await usual
        guard let newest = await dated else { return document }
        return await load(newest).before(document)
    }

    private func load(_ tag: String) async -> CacheDocument {
        let name = "the cache \(reference(tag))"
        do {
            let client = registries.client(for: place.registry, to: .pull)
            let fetched: FetchedManifest
            do throws(RegistryError) { fetched = try await client.manifest(of: reference(tag)) } catch {
                guard error.status == 404 else { throw error }
                report(.detail("\(name) does not exist yet"))
                return CacheDocument()
            }
            let manifest = try CanonicalJSON.decode(Manifest.self, from: Data(fetched.bytes), name: name)
            guard manifest.config.mediaType == CacheDocument.mediaType else {
                throw OCIError("it is an image, and no cache")
            }
            let bytes = try await client.smallBlob(manifest.config, repository: place.repository)
            return try CacheDocument(decoding: bytes, of: manifest, name: name)
        } catch {
            report(.warning("\(name) is not used: \(error)"))
            return CacheDocument()
        }
    }

    /// The youngest of the tags that have a time; `nil` if there is none, or the registry does not tell.
    private func newestDated() async -> String? {
        let client = registries.client(for: place.registry, to: .pull)
        let tags = (try? await client.tags(of: place.repository)) ?? []
        // Times have ten digits until the year 2286: the last by name is the youngest.
        return tags.filter { isDated($0) }.max()
    }

    private func isDated(_ tag: String) -> Bool {
        guard tag.hasPrefix(datedPrefix) else { return false }
        let parts = tag.dropFirst(datedPrefix.count).split(separator: "-", omittingEmptySubsequences: false)
        return parts.count == 2 && parts[0].utf8.count == 10 && Int(parts[0]) != nil
    }

    // MARK: Writing

    /// Adds the records and cache mounts of a build to those that are there. What cannot be written is a warning.
    ///
    /// - Parameters:
    ///   - mountBytes: what the files of all cache mounts may have; `nil` for a build that keeps none.
    ///   - mounts: repositories of this registry that may have the layers, the image's own among them.
    ///   - oldest: records made before are left out, in seconds since 1970.
    func add(
        _ results: [StepCache.Result], _ parcels: [MountCarrier.Parcel], mountBytes: Int64?, blobs: BlobFetcher,
        mounts: [String], since oldest: Int64
    ) async {
        do {
            let old = await load()
            let document = CacheDocument(
                results.map(\.record), mounts: parcels.map(\.mount), and: old, since: oldest, mountBytes: mountBytes)
            let present = Set(old.layers.map(\.digest))
            let listed = Set(document.layers.map(\.digest))
            let layers = (results.compactMap(\.layer) + parcels.map(\.layer)).filter { stored in
                let digest = stored.layer.descriptor.digest
                return !present.contains(digest) && listed.contains(digest)
            }
            try await Set(layers).forEachConcurrently(width: 4) { stored in
                try await upload(stored, blobs: blobs, mounts: mounts)
            }
            try await put(document)
        } catch {
            let failure = BuildError(error, doing: "it cannot be written")
            report(
                .warning("the cache \(place) is not kept: \(failure.message)" + (failure.hint.map { " (\($0))" } ?? ""))
            )
        }
    }

    private func upload(_ stored: StoredLayer, blobs: BlobFetcher, mounts: [String]) async throws {
        let client = registries.client(for: place.registry, to: .push)
        let digest = stored.layer.descriptor.digest
        guard try await !client.blobExists(digest, repository: place.repository) else { return }
        var session: UploadSession?
        var sources = mounts
        if case .registry(place.registry, let repository) = stored.origin { sources.append(repository) }
        for source in sources where source != place.repository && session == nil {
            switch try await client.mountBlob(digest, from: source, to: place.repository) {
            case .mounted: return
            case .session(let opened): session = opened
            case .declined: break
            }
        }
        try await blobs.fetch(stored)
        let progress = TransferProgress(of: stored.layer.descriptor, .to("\(place)"), report: report)
        _ = try await client.uploadBlob(
            stored.layer.descriptor, repository: place.repository,
            source: .file(blobs.store.path(of: stored.layer.descriptor)),
            session: session, onSent: progress.note)
    }

    private func put(_ document: CacheDocument) async throws {
        let client = registries.client(for: place.registry, to: .push)
        let (config, manifest, descriptor) = try document.encoded()
        _ = try await client.uploadBlob(descriptor, repository: place.repository, source: .bytes(config))
        do throws(RegistryError) {
            try await client.putManifest(
                manifest, mediaType: .ociManifest, repository: place.repository, reference: tag)
        } catch {
            guard error.isImmutableTag else { throw error }
            let dated = "\(datedPrefix)\(Timestamp.now.seconds)-\(descriptor.digest.hex.prefix(8))"
            report(.detail("the tag \(tag) cannot be moved: the cache gets the tag \(dated)"))
            try await client.putManifest(
                manifest, mediaType: .ociManifest, repository: place.repository, reference: dated)
            report(.detail("wrote the cache \(reference(dated))"))
            return
        }
        report(.detail("wrote the cache \(reference(tag))"))
    }
}
