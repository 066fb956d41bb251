import Dockerfile
import Layers
import OCI
import Synchronization
import SystemIO

/// A step that need not be done: what it came to before.
struct CachedStep: Sendable {
    let record: CacheRecord
    let layer: StoredLayer?
    /// For people: "the state folder".
    let place: String
}

/// Where results of steps are kept and found again: the state folder first, then registries.
///
/// What cannot be read, is not about the step that was asked for, or names a layer that is gone is a miss, never an error.
final class StepCache: Sendable {
    /// A record with the place of its layer.
    struct Result: Sendable, Hashable {
        let record: CacheRecord
        let layer: StoredLayer?
    }

    private let records: StepRecords
    private let store: BlobStore
    private let lent: CachedLayers
    private let policy: CachePolicy
    private let remote: [Digest: CachedStep]
    /// What servers had when the ADDs of registries' records were done.
    private let fetched: [RemoteContent]
    /// No file of the image is younger, in seconds since 1970.
    private let latest: Int64?
    private let pool: BlockingPool
    private let report: EventSink
    private let used = Mutex<[Digest: Result]>([:])

    /// - Parameter remote: what registries have, the place to ask first coming first.
    init(
        _ records: StepRecords, store: BlobStore, lent: CachedLayers, policy: CachePolicy,
        remote: [(place: CachePolicy.Place, document: CacheDocument)], latest: Timestamp?, pool: BlockingPool,
        report: @escaping EventSink
    ) {
        self.records = records
        self.store = store
        self.lent = lent
        self.policy = policy
        self.latest = latest?.seconds
        self.pool = pool
        self.report = report
        let oldest = Timestamp.now.seconds - policy.timeToLive
        var found: [Digest: CachedStep] = [:]
        for (place, document) in remote {
            for record in document.records where record.made >= oldest && found[record.key] == nil {
                let origin = BlobOrigin.registry(place.registry, repository: place.repository)
                let layer = record.layer.map {
                    StoredLayer(layer: Layer(descriptor: $0.descriptor, diffID: $0.diffID), origin: origin)
                }
                found[record.key] = CachedStep(record: record, layer: layer, place: "the cache \(place)")
            }
        }
        self.remote = found
        fetched = found.values.flatMap { $0.record.fetched ?? [] }
    }

    /// Whether steps of a stage are looked up at all.
    func serves(_ stage: StagePlan) -> Bool {
        policy.serves(stage.stage)
    }

    /// What the step with these inputs came to.
    func find(_ inputs: StepInputs) async -> CachedStep? {
        guard let found = await findHere(inputs) ?? findRemote(inputs) else { return nil }
        if let layer = found.layer { lent.lend(layer.layer.descriptor.digest) }
        used.withLock { $0[inputs.key] = Result(record: found.record, layer: found.layer) }
        return found
    }

    private func findRemote(_ inputs: StepInputs) -> CachedStep? {
        guard let found = remote[inputs.key], isUsable(found.record, inputs) else { return nil }
        return found
    }

    private func findHere(_ inputs: StepInputs) async -> CachedStep? {
        await pool.run { [self] () -> CachedStep? in
            guard let record = records.read(inputs.key), isUsable(record, inputs) else { return nil }
            guard let layer = record.layer else {
                return CachedStep(record: record, layer: nil, place: StepCache.here)
            }
            guard store.contains(layer.descriptor), isSound(layer.descriptor) else { return nil }
            let stored = StoredLayer(
                layer: Layer(descriptor: layer.descriptor, diffID: layer.diffID), origin: .store)
            return CachedStep(record: record, layer: stored, place: StepCache.here)
        }
    }

    private static let here = "the state folder"

    private func isUsable(_ record: CacheRecord, _ inputs: StepInputs) -> Bool {
        guard record.inputs == inputs, record.isUsable(at: latest) else { return false }
        return record.layer.map { !lent.isLost($0.descriptor.digest) } ?? true
    }

    private func isSound(_ descriptor: Descriptor) -> Bool {
        do {
            if try store.isSound(descriptor) { return true }
            report(.warning("the blob \(descriptor.digest) in the state folder was damaged, and is removed"))
        } catch {
            report(.warning("the blob \(descriptor.digest) in the state folder cannot be read: \(error)"))
        }
        return false
    }

    /// Remembers what a step came to, under each of the keys that it has.
    ///
    /// - Parameter step: what tells the step from others of all Dockerfiles, whatever it depends on.
    func add(_ new: [CacheRecord], layer: StoredLayer?, of step: Digest) async {
        used.withLock { used in
            for record in new { used[record.key] = Result(record: record, layer: layer) }
        }
        await pool.run { [records] in
            for record in new { records.write(record) }
            if let first = new.first { records.write(first, asLastOf: step) }
        }
    }

    /// What the same step depended on when it was last done.
    func lastInputs(of step: Digest) async -> StepInputs? {
        await pool.run { [records] in records.last(of: step)?.inputs }
    }

    /// Whether there can be no result of a COPY, whatever its files are: then it need not be known what they are before it is done.
    ///
    /// What another stage of the same files has is done again then, and gives the same.
    func hasNothing(of instruction: Instruction, in stage: StagePlan) async -> Bool {
        guard case .copy(let copy) = instruction.kind, copy.from == nil, policy.sources.isEmpty, policy.targets.isEmpty,
            serves(stage) || !policy.isUsed
        else { return false }
        guard policy.isUsed else { return true }
        return await lastInputs(of: stage.identity(of: instruction)) == nil
    }

    /// What servers had when a step was done before, here or elsewhere.
    func fetched(by step: Digest) async -> [RemoteContent] {
        await pool.run { [records] in records.last(of: step)?.fetched ?? [] } + fetched
    }

    /// All that was found or made, the oldest key first: for a registry.
    var results: [Result] {
        let lent = self.lent
        return used.withLock { Array($0.values) }
            .filter { result in
                policy.keeps(result.record)
                    && !(result.layer.map { lent.isLost($0.layer.descriptor.digest) } ?? false)
            }
            .sorted { $0.record.key.hex < $1.record.key.hex }
    }
}
