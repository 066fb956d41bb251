import OCI
import Synchronization
import SystemIO
import SystemPackage

/// The caches in registries that a build reads from and adds to.
final class RegistryCaches: Sendable {
    private let request: BuildRequest
    private let registries: Registries
    private let report: EventSink
    /// What was there when the build began.
    private let loaded = Mutex<[CachePolicy.Place: CacheDocument]>([:])

    init(_ request: BuildRequest, registries: Registries, report: @escaping EventSink) {
        self.request = request
        self.registries = registries
        self.report = report
    }

    private func cache(_ place: CachePolicy.Place) -> RegistryCache {
        RegistryCache(place: place, usualTag: usualTag, registries: registries, report: report)
    }

    /// One for each target and platform of a Dockerfile: `image-linux-amd64-1a2b3c4d`.
    private var usualTag: String {
        var hash = FramedHash()
        hash.add([request.dockerfile.string, request.target ?? "", request.platform.description])
        let name = "\(request.target ?? "image")-\(request.platform.os)-\(request.platform.architecture)"
        let letters = name.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
        // A tag has 128 characters at most, and begins with no dash.
        return "imgbuild-" + String(letters.prefix(80)) + "-" + hash.finish().hex.prefix(8)
    }

    /// What all sources have, read side by side, in the order of the sources.
    func load() async -> [(place: CachePolicy.Place, document: CacheDocument)] {
        guard request.cache.isUsed || request.cache.mountLimit != nil else { return [] }
        let sources = request.cache.sources
        return await withTaskGroup(of: (Int, CacheDocument).self) { group in
            for (index, source) in sources.enumerated() {
                group.addTask { [self] in (index, await cache(source).load()) }
            }
            var found: [Int: CacheDocument] = [:]
            for await (index, document) in group {
                found[index] = document
                loaded.withLock { $0[sources[index]] = document }
            }
            return sources.enumerated().map { ($1, found[$0] ?? CacheDocument()) }
        }
    }

    /// Adds what a build has found and made to every target.
    ///
    /// - Parameter isPushed: whether the image's layers are in the repositories of its destinations.
    func add(
        _ results: [StepCache.Result], _ parcels: [MountCarrier.Parcel], blobs: BlobFetcher, isPushed: Bool
    ) async {
        let now = Timestamp.now.seconds
        for target in request.cache.targets {
            let document = loaded.withLock { $0[target] } ?? CacheDocument()
            let known = Set(document.records)
            // A mount that is as it was is written again when half of its time is over.
            let isNew = { (parcel: MountCarrier.Parcel) in
                !(document.mounts ?? []).contains {
                    $0.key == parcel.mount.key && $0.layer == parcel.mount.layer
                        && $0.used >= now - self.request.cache.timeToLive / 2
                }
            }
            // Nothing new: the registry is not bothered.
            guard results.contains(where: { !known.contains($0.record) }) || parcels.contains(where: isNew) else {
                continue
            }
            let mounts =
                isPushed
                ? request.destinations.filter { $0.registry == target.registry }.map(\.repository) : []
            await cache(target).add(
                results, parcels, mountBytes: request.cache.mountLimit, blobs: blobs,
                mounts: Array(Set(mounts)).sorted(), since: now - request.cache.timeToLive)
        }
    }
}
