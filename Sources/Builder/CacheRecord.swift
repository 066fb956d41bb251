import FoundationEssentials
import Layers
import OCI

/// What a cache remembers of one step: what it was made from, and which layer came of it.
///
/// A document: it is read back from folders and registries that others may have written to. The effects of a step on the
/// config are not in it, since they are made anew each time.
struct CacheRecord: Sendable, Hashable, Codable {
    /// The file or document is not read if it has more bytes.
    static let sizeLimit = 4 << 20

    private(set) var version = 1
    /// The keyword, in capitals.
    let instruction: String
    let inputs: StepInputs
    /// The identity of the stage after the step.
    let identity: Digest
    /// `nil` for a step that changed nothing.
    let layer: Layer?
    /// No file of the layer is younger, in seconds since 1970; `nil` where times are real.
    let latest: Int64?
    /// When the step was done, in seconds since 1970.
    let made: Int64
    /// What an ADD fetched that no checksum holds fast; `nil` for all else.
    let fetched: [RemoteContent]?

    /// As `Layers.Layer`, as a document.
    struct Layer: Sendable, Hashable, Codable {
        let descriptor: Descriptor
        let diffID: Digest
    }

    init(
        _ instruction: String, inputs: StepInputs, identity: Digest, layer: Layers.Layer?, latest: Int64?,
        made: Int64, fetched: [RemoteContent] = []
    ) {
        self.instruction = instruction
        self.inputs = inputs
        self.identity = identity
        self.layer = layer.map { Layer(descriptor: $0.descriptor, diffID: $0.diffID) }
        self.latest = latest
        self.made = made
        self.fetched = fetched.isEmpty ? nil : fetched
    }

    /// The same result, found under another key.
    init(_ other: CacheRecord, under inputs: StepInputs) {
        instruction = other.instruction
        self.inputs = inputs
        identity = other.identity
        layer = other.layer
        latest = other.latest
        made = other.made
        fetched = other.fetched
    }

    var key: Digest { inputs.key }

    func encoded() throws -> [UInt8] {
        Array(try CanonicalJSON.encode(self))
    }

    /// - Throws: `OCIError` for what is no record that can be used.
    init(decoding bytes: [UInt8], name: String) throws {
        self = try CanonicalJSON.decode(CacheRecord.self, from: Data(bytes), name: name)
        try check(name)
    }

    /// - Throws: `OCIError` for another version, and for a layer that is none.
    func check(_ name: String) throws(OCIError) {
        guard version == 1 else { throw OCIError("\(name) has the version \(version), which is not known here") }
        guard let layer else { return }
        guard layer.descriptor.mediaType.layerCompression != nil else {
            throw OCIError("\(name) names a layer of the type \(layer.descriptor.mediaType)")
        }
    }

    /// Whether the layer may be part of an image whose files are no younger than `instant`.
    func isUsable(at instant: Int64?) -> Bool {
        guard let instant else { return true }
        return latest.map { $0 <= instant } ?? false
    }
}
