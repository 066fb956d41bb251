import FoundationEssentials
import Layers
import OCI
import SystemIO

/// What a registry keeps of steps: the config of an ordinary image manifest whose layers are those of the records, so that the
/// registry keeps them.
struct CacheDocument: Sendable, Codable {
    static let mediaType = MediaType(rawValue: "application/vnd.imgbuild.cache.config.v1+json")

    /// Records in one document; a Dockerfile of a hundred steps has three hundred at most.
    private static let recordLimit = 2000
    /// Layers of one manifest: registries take manifests of 4 MiB, and a layer has about 200 bytes there.
    private static let layerLimit = 1000
    /// Bytes of one document. What is longer could not be read back: a config is read up to 8 MiB.
    private static let sizeLimit = 6 << 20

    private(set) var version = 1
    /// The most recent first.
    private(set) var records: [CacheRecord] = []
    /// The cache mount that was used last first; `nil` where none were ever kept.
    private(set) var mounts: [CachedMount]?

    /// Cache mounts in one document.
    private static let mountLimit = 100

    /// What is there before anything is kept.
    init() {}

    /// The records of a build and those that were there before, as far as they are young enough and there is room.
    ///
    /// - Parameters:
    ///   - new: win over old ones of the same step.
    ///   - newMounts: win over old ones of the same cache.
    ///   - oldest: seconds since 1970.
    ///   - bytes: what the files of all cache mounts may have together; `nil` for a build that keeps none.
    init(
        _ new: [CacheRecord], mounts newMounts: [CachedMount] = [], and old: CacheDocument, since oldest: Int64,
        mountBytes bytes: Int64? = nil
    ) {
        var seen: Set<Digest> = []
        var layers: Set<Digest> = []
        var size = 0
        records = []
        let order = { (a: CacheRecord, b: CacheRecord) in (b.made, a.key.hex) < (a.made, b.key.hex) }
        for record in new.sorted(by: order) + old.records.sorted(by: order) where record.made >= oldest {
            guard records.count < CacheDocument.recordLimit, seen.insert(record.key).inserted else { continue }
            size += (try? record.encoded().count) ?? CacheDocument.sizeLimit
            guard size < CacheDocument.sizeLimit else { break }
            if let digest = record.layer?.descriptor.digest {
                guard layers.count < CacheDocument.layerLimit || layers.contains(digest) else { continue }
                layers.insert(digest)
            }
            records.append(record)
        }
        var keys: Set<String> = []
        var room = bytes ?? .max
        let youngest = { (a: CachedMount, b: CachedMount) in (b.used, a.key) < (a.used, b.key) }
        let kept = (newMounts.sorted(by: youngest) + (old.mounts ?? []).sorted(by: youngest)).filter { mount in
            guard mount.used >= oldest, keys.count < CacheDocument.mountLimit, keys.insert(mount.key).inserted,
                mount.bytes <= room
            else { return false }
            room -= mount.bytes
            return true
        }
        mounts = kept.isEmpty ? nil : kept
    }

    /// Records of another document are looked for after those of this one.
    func before(_ other: CacheDocument) -> CacheDocument {
        var all = self
        all.records += other.records
        if let more = other.mounts { all.mounts = (mounts ?? []) + more }
        return all
    }

    /// The layers of records and mounts, each once, in an order that depends on nothing else.
    var layers: [Descriptor] {
        let descriptors = records.compactMap(\.layer?.descriptor) + (mounts ?? []).map(\.layer.descriptor)
        return Dictionary(descriptors.map { ($0.digest, $0) }) { first, _ in first }
            .values.sorted { $0.digest.hex < $1.digest.hex }
    }

    /// The document and the manifest around it.
    func encoded() throws -> (config: [UInt8], manifest: [UInt8], configDescriptor: Descriptor) {
        let config = Array(try CanonicalJSON.encode(self))
        let descriptor = Descriptor(
            mediaType: CacheDocument.mediaType, digest: Digest(sha256: SHA256.hash(config)), size: Int64(config.count))
        let manifest = Manifest(mediaType: .ociManifest, config: descriptor, layers: layers)
        return (config, Array(try CanonicalJSON.encode(manifest)), descriptor)
    }

    /// Reads a document that anybody may have written: records that cannot be used are left out.
    ///
    /// - Throws: `OCIError` for what is no document of this version.
    init(decoding bytes: [UInt8], of manifest: Manifest, name: String) throws {
        self = try CanonicalJSON.decode(CacheDocument.self, from: Data(bytes), name: name)
        guard version == 1 else { throw OCIError("\(name) has the version \(version), which is not known here") }
        let layers = Set(manifest.layers)
        records = records.prefix(CacheDocument.recordLimit).filter { record in
            guard (try? record.check(name)) != nil else { return false }
            guard let layer = record.layer else { return true }
            // What the manifest does not list, the registry need not keep.
            return layers.contains(layer.descriptor)
        }
        mounts = mounts?.prefix(CacheDocument.mountLimit).filter {
            $0.isSound && layers.contains($0.layer.descriptor)
        }
    }
}
