import Glibc
import Layers
import OCI
import Synchronization
import SystemIO
import SystemPackage

/// A step that need not be done: what it came to before.
struct CachedStep: Sendable {
    let record: CacheRecord
    let layer: StoredLayer?
    /// For people: "the state folder".
    let place: String
}

/// Where results of steps are kept and found again: the state folder.
///
/// ```
/// steps/<key>    one record, visible only by a rename after it was written
/// ```
///
/// What cannot be read, is not about the step that was asked for, or names a layer that is gone is a miss, never an error.
final class StepCache: Sendable {
    private let steps: Directory
    private let store: BlobStore
    private let state: StateDirectory
    private let scratch: Scratch
    private let pool: BlockingPool
    private let policy: CachePolicy
    /// No file of the image is younger, in seconds since 1970.
    private let latest: Int64?
    private let report: EventSink
    private let warned = Mutex(Set<String>())

    init(
        _ state: StateDirectory, scratch: Scratch, store: BlobStore, policy: CachePolicy, latest: Timestamp?,
        pool: BlockingPool, report: @escaping EventSink
    ) {
        steps = state.steps
        self.state = state
        self.scratch = scratch
        self.store = store
        self.policy = policy
        self.latest = latest?.seconds
        self.pool = pool
        self.report = report
    }

    /// Whether steps of a stage are looked up at all.
    func serves(_ stage: StagePlan) -> Bool {
        policy.serves(stage.stage)
    }

    /// What the step with these inputs came to.
    func find(_ inputs: StepInputs) async -> CachedStep? {
        await pool.run { [self] in findHere(inputs) }
    }

    private func findHere(_ inputs: StepInputs) -> CachedStep? {
        let key = inputs.key
        guard let record = readRecord(key), record.inputs == inputs, record.isUsable(at: latest) else { return nil }
        guard let layer = record.layer else {
            return CachedStep(record: record, layer: nil, place: StepCache.place)
        }
        guard store.contains(layer.descriptor), isSound(layer.descriptor) else { return nil }
        let stored = StoredLayer(
            layer: Layer(descriptor: layer.descriptor, diffID: layer.diffID), origin: .store)
        return CachedStep(record: record, layer: stored, place: StepCache.place)
    }

    private func isSound(_ descriptor: Descriptor) -> Bool {
        do {
            if try store.isSound(descriptor) { return true }
            warn("the blob \(descriptor.digest) in the state folder was damaged, and is removed")
        } catch {
            warn("the blob \(descriptor.digest) in the state folder cannot be read: \(error)")
        }
        return false
    }

    private static let place = "the state folder"

    private func readRecord(_ key: Digest) -> CacheRecord? {
        let name = "the cache record \(key.hex)"
        do {
            let bytes = try state.whileNobodyPrunes { () throws(SystemError) -> [UInt8]? in
                guard try steps.statusIfPresent(of: FilePath(key.hex)) != nil else { return nil }
                let file = try steps.open(FilePath(key.hex), O_RDONLY | O_NONBLOCK, .noSymlinks)
                guard try file.status().kind == .file else { throw SystemError(call: "read", errno: .invalidArgument) }
                guard futimens(file.raw, nil) == 0 else { throw .last("futimens") }
                return try file.readAll(limit: CacheRecord.sizeLimit)
            }
            return try bytes.map { try CacheRecord(decoding: $0, name: name) }
        } catch {
            warn("\(name) is not used: \(error)")
            return nil
        }
    }

    /// Remembers what a step came to, under each of the keys that it has. A record that cannot be written is a warning.
    func add(_ records: [CacheRecord]) async {
        await pool.run { [self] in
            for record in records {
                do { try write(record) } catch { warn("the result of a step is not kept: \(error)") }
            }
        }
    }

    private func write(_ record: CacheRecord) throws {
        let file = try scratch.makeFile("step")
        do {
            try file.descriptor.writeAll(try record.encoded())
            try scratch.folder.rename(file.name, to: FilePath(record.key.hex), in: steps)
        } catch {
            try? scratch.folder.remove(file.name)
            throw error
        }
    }

    /// Each text once.
    private func warn(_ text: String) {
        if warned.withLock({ $0.insert(text).inserted }) { report(.warning(text)) }
    }
}
