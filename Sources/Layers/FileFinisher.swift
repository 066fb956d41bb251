import Glibc
import Synchronization
import SystemIO
import SystemPackage

/// Writes contents into new files, and gives the files what their entries say, on a thread of its own: the unpacker reads and
/// makes the next ones meanwhile.
///
/// Files are known by their descriptors, so what becomes of their names does not matter. Memory: `depth` batches. Dropped before
/// `finish`, it closes what is open, and its thread has ended.
final class FileFinisher {
    /// Batches that may lie ready: enough to keep both sides busy through a large file and a burst of small ones.
    private static let depth = 8

    private let work: Work
    private var position = 0
    private var current: Current?
    private var file: OwnedDescriptor?
    private var hasEnded = false

    /// - Parameter layer: for messages.
    init(layer: String) {
        work = Work(layer: layer)
        let work = self.work
        BlockingPool.detach { work.run() }
    }

    deinit {
        guard !hasEnded else { return }
        work.hasFailed.store(true, ordering: .relaxed)
        end()
    }

    private struct Current {
        let entry: LayerEntry
        let isRightAtOnce: Bool
        let number: Int32?
        /// Of what was written.
        var end: Int64 = 0
    }

    /// Takes over a new file, open for writing.
    ///
    /// - Parameters:
    ///   - isRightAtOnce: its owner and mode are what the entry says already.
    ///   - number: of the entry in its layer, if its inode is to be told.
    func begin(_ file: consuming OwnedDescriptor, _ entry: LayerEntry, isRightAtOnce: Bool, number: Int32?) {
        self.file = .some(file)
        current = Current(entry: entry, isRightAtOnce: isRightAtOnce, number: number)
    }

    /// Takes a copy of a part of the file's content.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(LayerError) {
        guard let raw = file?.raw else { return }
        var rest = bytes
        var offset = offset
        while !rest.isEmpty {
            var batch = work.batches[position]
            if batch.room == 0 {
                try handOver()
                batch = work.batches[position]
            }
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(batch.room))
            batch.steps.append(.write(file: raw, offset: offset, bytes: batch.take(part)))
            offset += Int64(part.count)
            rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
        }
        current?.end = offset
    }

    /// The file has all of its content. Zeros follow what was written up to the entry's size.
    func complete() throws(LayerError) {
        guard let raw = file.take()?.release(), let current else { return }
        let batch = work.batches[position]
        batch.steps.append(.complete(file: raw, current))
        // Open files: a few batches of empty ones fit the usual limit of 1024.
        if batch.steps.count >= 16 { try handOver() }
    }

    /// Waits until all files are complete.
    ///
    /// - Returns: the names of extended attributes that were refused, and the inodes that were to be told.
    /// - Throws: what went wrong first.
    func finish() throws(LayerError) -> (refused: Set<String>, placed: [UnpackedTree.PlacedFile]) {
        end()
        if let failure = work.failure.withLock({ $0 }) { throw failure }
        return (work.refused, work.placed)
    }

    private func handOver() throws(LayerError) {
        next()
        if work.hasFailed.load(ordering: .acquiring), let failure = work.failure.withLock({ $0 }) { throw failure }
    }

    private func next() {
        work.filled.signal()
        position = (position + 1) % FileFinisher.depth
        work.free.wait()
    }

    private func end() {
        hasEnded = true
        work.batches[position].isLast = true
        work.filled.signal()
        work.ended.wait()
    }

    // MARK: The thread

    private enum Step {
        case write(file: Int32, offset: Int64, bytes: UnsafeRawBufferPointer)
        case complete(file: Int32, Current)
    }

    private final class Batch {
        // Bytes: as large as the chunks that layers are read in.
        private let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 64)
        private var used = 0
        var steps: [Step] = []
        var isLast = false

        deinit { bytes.deallocate() }

        var room: Int { bytes.count - used }

        /// Copies what fits.
        func take(_ part: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
            let copy = UnsafeMutableRawBufferPointer(rebasing: bytes[used..<(used + part.count)])
            copy.copyMemory(from: part)
            used += part.count
            return UnsafeRawBufferPointer(copy)
        }

        func empty() {
            steps.removeAll(keepingCapacity: true)
            used = 0
        }
    }

    /// What both threads share. Batches pass from one to the other by the semaphores: nobody looks at one that is the other's.
    private final class Work: @unchecked Sendable {
        let batches = (0..<FileFinisher.depth).map { _ in Batch() }
        /// One batch is being filled from the beginning.
        let free = Semaphore(value: UInt32(FileFinisher.depth - 1))
        let filled = Semaphore()
        let ended = Semaphore()
        let hasFailed = Atomic(false)
        let failure = Mutex<LayerError?>(nil)
        /// Both are read when the thread has ended.
        var refused: Set<String> = []
        var placed: [UnpackedTree.PlacedFile] = []
        private let layer: String

        init(layer: String) {
            self.layer = layer
        }

        func run() {
            var position = 0
            while true {
                filled.wait()
                let batch = batches[position]
                for step in batch.steps { perform(step) }
                batch.empty()
                if batch.isLast { break }
                position = (position + 1) % FileFinisher.depth
                free.signal()
            }
            ended.signal()
        }

        /// The entry of the file that is written now is known only when it is complete: a failure waits for it.
        private var writeFailure: SystemError?

        private func perform(_ step: Step) {
            switch step {
            case .write(let raw, let offset, let bytes):
                guard writeFailure == nil, !hasFailed.load(ordering: .relaxed) else { return }
                // Lent for the call: the step that completes the file owns it.
                let file = OwnedDescriptor(taking: raw)
                do throws(SystemError) { try file.writeAll(bytes, at: offset) } catch { writeFailure = error }
                _ = file.release()
            case .complete(let raw, let current):
                let file = OwnedDescriptor(taking: raw)
                guard !hasFailed.load(ordering: .relaxed) else { return }
                do throws(SystemError) {
                    if let writeFailure { throw writeFailure }
                    try complete(file, current)
                } catch {
                    let error = LayerError(placing: current.entry, of: layer, error)
                    failure.withLock { $0 = error }
                    hasFailed.store(true, ordering: .releasing)
                }
            }
        }

        private func complete(_ file: consuming OwnedDescriptor, _ current: Current) throws(SystemError) {
            let entry = current.entry
            if case .file(let size) = entry.kind, current.end != size {
                guard ftruncate(file.raw, off_t(size)) == 0 else { throw .last("ftruncate") }
            }
            if !current.isRightAtOnce {
                guard fchown(file.raw, entry.uid, entry.gid) == 0 else { throw .last("fchown") }
                guard fchmod(file.raw, mode_t(entry.permissions)) == 0 else { throw .last("fchmod") }
            }
            for attribute in entry.attributes {
                do throws(SystemError) {
                    try file.setAttribute(attribute)
                } catch {
                    guard error.isRefusedAttribute else { throw error }
                    refused.insert(attribute.name)
                }
            }
            guard futimens(file.raw, entry.modified.asModificationTime) == 0 else { throw .last("futimens") }
            if let number = current.number {
                placed.append(UnpackedTree.PlacedFile(inode: try file.status().inode, entry: number))
            }
            try file.close()
        }
    }
}
