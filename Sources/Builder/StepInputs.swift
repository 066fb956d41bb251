import OCI

/// All that the layer of one step depends on, each part by a name and the digest of its value.
///
/// Values are only known by their digests: a record of a step shows no build argument, and can still tell what has changed.
struct StepInputs: Hashable, Sendable {
    struct Item: Hashable, Sendable, Codable {
        let name: String
        let digest: Digest
    }

    /// Changed whenever the same inputs may give another layer than before.
    static let scheme = "2"
    /// Parts that a record may have: more than any instruction has.
    private static let limit = 100_000

    private(set) var items: [Item] = []

    init() {
        add("scheme", [StepInputs.scheme])
    }

    mutating func add(_ name: String, _ texts: [String]) {
        var hash = FramedHash()
        hash.add(texts)
        add(name, hash.finish())
    }

    mutating func add(_ name: String, _ digest: Digest) {
        items.append(Item(name: name, digest: digest))
    }

    /// What the step is found under.
    var key: Digest {
        var hash = FramedHash()
        hash.add("imgbuild step")
        hash.add(Int64(items.count))
        for item in items {
            hash.add(item.name)
            hash.add(item.digest)
        }
        return hash.finish()
    }

    /// The parts in which these inputs differ from those of another step, in order.
    func differences(from other: StepInputs) -> [String] {
        let theirs = Dictionary(other.items.map { ($0.name, $0.digest) }) { first, _ in first }
        let mine = Set(items.map(\.name))
        return items.filter { theirs[$0.name] != $0.digest }.map(\.name)
            + other.items.map(\.name).filter { !mine.contains($0) }
    }
}

extension StepInputs: Codable {
    init(from decoder: any Decoder) throws {
        items = try decoder.singleValueContainer().decode([Item].self)
        guard items.count <= StepInputs.limit else { throw OCIError("a step has \(items.count) inputs") }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(items)
    }
}
