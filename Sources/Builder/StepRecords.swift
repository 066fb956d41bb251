import Glibc
import OCI
import Synchronization
import SystemIO
import SystemPackage

/// The records of steps in the state folder.
///
/// ```
/// steps/<key>         one record, visible only by a rename after it was written
/// steps/last-<step>   the record that a step made last, whatever its key: to tell what has changed
/// ```
///
/// What cannot be read or written is a warning.
final class StepRecords: Sendable {
    private let state: StateDirectory
    private let scratch: Scratch
    private let report: EventSink
    private let warned = Mutex(Set<String>())

    init(_ state: StateDirectory, scratch: Scratch, report: @escaping EventSink) {
        self.state = state
        self.scratch = scratch
        self.report = report
    }

    /// The record of a key, which is used from now on. Blocks.
    func read(_ key: Digest) -> CacheRecord? {
        read(key.hex)
    }

    func last(of step: Digest) -> CacheRecord? {
        read(StepRecords.lastName(step))
    }

    func write(_ record: CacheRecord) {
        write(record, record.key.hex)
    }

    func write(_ record: CacheRecord, asLastOf step: Digest) {
        write(record, StepRecords.lastName(step))
    }

    private static func lastName(_ step: Digest) -> String { "last-\(step.hex)" }

    private func read(_ file: String) -> CacheRecord? {
        let name = "the cache record \(file)"
        do {
            let bytes = try state.whileNobodyPrunes { () throws(SystemError) -> [UInt8]? in
                guard try state.steps.statusIfPresent(of: FilePath(file)) != nil else { return nil }
                let opened = try state.steps.open(FilePath(file), O_RDONLY | O_NONBLOCK, .noSymlinks)
                guard try opened.status().kind == .file else {
                    throw SystemError(call: "read", errno: .invalidArgument)
                }
                guard futimens(opened.raw, nil) == 0 else { throw .last("futimens") }
                return try opened.readAll(limit: CacheRecord.sizeLimit)
            }
            return try bytes.map { try CacheRecord(decoding: $0, name: name) }
        } catch {
            warn("\(name) is not used: \(error)")
            return nil
        }
    }

    private func write(_ record: CacheRecord, _ name: String) {
        do {
            let file = try scratch.makeFile("step")
            do {
                try file.descriptor.writeAll(try record.encoded())
                try place(file.name, as: FilePath(name))
            } catch {
                try? scratch.folder.remove(file.name)
                throw error
            }
        } catch {
            warn("the result of a step is not kept: \(error)")
        }
    }

    private func place(_ file: FilePath, as name: FilePath) throws(SystemError) {
        do throws(SystemError) {
            try scratch.folder.rename(file, to: name, in: state.steps)
        } catch {
            // A folder has no business there, and no file takes its place by itself.
            guard error.errno == .isDirectory else { throw error }
            try state.steps.removeTree(name)
            try scratch.folder.rename(file, to: name, in: state.steps)
        }
    }

    /// Each text once.
    private func warn(_ text: String) {
        if warned.withLock({ $0.insert(text).inserted }) { report(.warning(text)) }
    }
}
