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
    private(set) var records: [CacheRecord]

    /// The records of a build and those that were there before, as far as they are young enough and there is room.
    ///
    /// - Parameters:
    ///   - new: win over old ones of the same step.
    ///   - oldest: seconds since 1970.
    init(_ new: [CacheRecord], and old: [CacheRecord], since oldest: Int64) {
        var seen: Set<Digest> = []
        var layers: Set<Digest> = []
        var size = 0
        records = []
        let order = { (a: CacheRecord, b: CacheRecord) in (b.made, a.key.hex) < (a.made, b.key.hex) }
        for record in new.sorted(by: order) + old.sorted(by: order) where record.made >= oldest {
            guard records.count < CacheDocument.recordLimit, seen.insert(record.key).inserted else { continue }
            size += (try? record.encoded().count) ?? CacheDocument.sizeLimit
            guard size < CacheDocument.sizeLimit else { break }
            if let digest = record.layer?.descriptor.digest {
                guard layers.count < CacheDocument.layerLimit || layers.contains(digest) else { continue }
                layers.insert(digest)
            }
            records.append(record)
        }
    }

    /// The layers of the records, each once, in an order that depends on nothing else.
    var layers: [Descriptor] {
        Dictionary(records.compactMap(\.layer?.descriptor).map { ($0.digest, $0) }) { first, _ in first }
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
    }
}
