import Dockerfile
import Layers
import OCI
import Synchronization
import SystemIO
import SystemPackage

/// Carries what is in cache mounts between the state folder and registries (`--cache-mounts`), so that a pod that begins empty has
/// what earlier ones have downloaded.
///
/// What a registry has is laid down where the state folder has nothing of a cache, and only when a RUN that uses it is done. What
/// cannot be had, or is not what it should be, is a warning: then the cache begins empty. A cache that begins with files of a stage
/// or an image (`from=`) stays where it is.
final class MountCarrier: Sendable {
    /// A cache in a registry.
    struct Arrival: Sendable {
        let mount: CachedMount
        let layer: StoredLayer
        let place: CachePolicy.Place
    }

    /// A cache for a registry.
    struct Parcel: Sendable {
        let mount: CachedMount
        let layer: StoredLayer
    }

    private struct Use: Sendable {
        let id: String
        /// The folder that is locked while a RUN uses the cache.
        let instance: FilePath
    }

    /// Bytes that the files of all caches together may have; `nil` where nothing is carried.
    private let limit: Int64?
    private let arrivals: [String: Arrival]
    private let used = Mutex<[CacheMounts.Key: Use]>([:])
    private let report: EventSink

    /// - Parameter remote: what registries have, the place to ask first coming first.
    init(
        _ policy: CachePolicy, remote: [(place: CachePolicy.Place, document: CacheDocument)],
        report: @escaping EventSink
    ) {
        limit = policy.mountLimit
        self.report = report
        var found: [String: Arrival] = [:]
        if let limit {
            let oldest = Timestamp.now.seconds - policy.timeToLive
            for (place, document) in remote {
                for mount in document.mounts ?? [] where found[mount.key] == nil {
                    guard mount.used >= oldest, mount.bytes <= limit else { continue }
                    let layer = Layer(descriptor: mount.layer.descriptor, diffID: mount.layer.diffID)
                    let origin = BlobOrigin.registry(place.registry, repository: place.repository)
                    found[mount.key] = Arrival(
                        mount: mount, layer: StoredLayer(layer: layer, origin: origin), place: place)
                }
            }
        }
        arrivals = found
    }

    /// What a cache of the state folder may begin with, its blob in the store.
    ///
    /// - Returns: `nil` if the state folder has the cache, or no registry does.
    func bring(_ key: CacheMounts.Key, _ tools: BuildTools) async -> Arrival? {
        guard let arrival = arrivals[key.name.string], key.origin.isEmpty, !tools.caches.isFilled(key) else {
            return nil
        }
        do {
            try await tools.blobs.fetch(arrival.layer)
            report(.note("the cache '\(key.id)' comes from \(arrival.place): \(arrival.mount.bytes) bytes"))
            return arrival
        } catch {
            warn(arrival, error)
            return nil
        }
    }

    /// Lays a cache down under a name in a folder. Blocks.
    ///
    /// - Returns: whether it is there. If not, the name is free.
    func lay(_ arrival: Arrival, as name: FilePath, in folder: Directory, _ owner: RunMount.Owner, _ tools: BuildTools)
        -> Bool
    {
        do {
            try CacheMounts.makeEmpty(name, in: folder, owner)
            try MountLayer.unpack(
                arrival.layer.layer, of: arrival.mount.bytes, into: try folder.openDirectory(name, .noSymlinks), tools)
            return true
        } catch {
            warn(arrival, error)
            try? folder.removeTree(name)
            return false
        }
    }

    private func warn(_ arrival: Arrival, _ error: any Error) {
        report(.warning("the cache '\(arrival.mount.id)' of \(arrival.place) is not used, and begins empty: \(error)"))
    }

    /// Remembers that a RUN may write to a cache.
    func use(_ key: CacheMounts.Key, _ lease: CacheLease) {
        guard limit != nil, key.origin.isEmpty else { return }
        used.withLock { $0[key] = Use(id: key.id, instance: lease.instance.path) }
    }

    // MARK: Away

    /// Packs every cache that this build has used. What cannot be packed is a warning.
    func pack(_ tools: BuildTools) async -> [Parcel] {
        guard let limit else { return [] }
        var parcels: [Parcel] = []
        var rest = limit
        for (key, use) in used.withLock({ $0 }).sorted(by: { $0.key.name.string < $1.key.name.string }) {
            do {
                let packed = try await MountLayer.pack(Directory(opening: use.instance), limit: rest, tools)
                rest -= packed.bytes
                let layer = StoredLayer(layer: packed.layer, origin: .store)
                parcels.append(
                    Parcel(
                        mount: CachedMount(
                            key: key.name.string, id: use.id,
                            layer: .init(descriptor: packed.layer.descriptor, diffID: packed.layer.diffID),
                            bytes: packed.bytes, used: Timestamp.now.seconds), layer: layer))
            } catch {
                report(.warning("the cache '\(use.id)' is not kept in a registry: \(error)"))
            }
        }
        return parcels
    }

    // MARK: Foretold

    /// What the caches of a RUN begin with, for people.
    func notes(on run: RunInstruction, _ caches: CacheMounts) throws -> [String] {
        guard limit != nil else { return [] }
        return try run.mounts.compactMap { written in
            guard case .cache(let cache) = try written.resolved().kind else { return nil }
            let key = CacheMounts.Key(namespace: caches.namespace, id: cache.id, owner: cache.owner, origin: [])
            if cache.from != nil {
                return "the cache '\(cache.id)' is not carried: it begins with files of '\(cache.from ?? "")'"
            }
            if caches.isFilled(key) { return "the cache '\(cache.id)' is in the state folder" }
            guard let arrival = arrivals[key.name.string] else { return "the cache '\(cache.id)' begins empty" }
            return "the cache '\(cache.id)' comes from \(arrival.place): \(arrival.mount.bytes) bytes"
        }
    }
}
