import Glibc
import Synchronization

/// The bytes of a compressed file and their SHA-256, made by a thread of its own while the reader is busy with those before.
///
/// Memory: the decompressor's, and `depth` chunks. Without a reader the thread ends.
package final class HashedStream {
    /// Chunks that may lie ready: enough to keep both sides busy through a burst of small files.
    private static let depth = 8

    private let work = Work()
    private var position = 0
    private var holdsChunk = false
    private var isAtEnd = false

    /// Takes over `file`; see `Decompressor`.
    package init(_ file: consuming OwnedDescriptor, format: Decompressor.Format, growth: FileGrowth? = nil) {
        work.decompressor = Decompressor(file, format: format, growth: growth)
        let work = self.work
        BlockingPool.detach { work.run() }
    }

    deinit {
        work.isAbandoned.store(true, ordering: .releasing)
        work.free.signal()
    }

    /// The next bytes, never empty; `nil` at the sound end of the stream. They are valid until the next call.
    package func next() throws(Decompressor.Failure) -> UnsafeRawBufferPointer? {
        guard !isAtEnd else { return nil }
        if holdsChunk {
            holdsChunk = false
            position = (position + 1) % HashedStream.depth
            work.free.signal()
        }
        work.filled.wait()
        let slot = work.slots[position]
        if let failure = slot.failure {
            isAtEnd = true
            throw failure
        }
        guard slot.count > 0 else {
            isAtEnd = true
            return nil
        }
        holdsChunk = true
        return UnsafeRawBufferPointer(rebasing: slot.bytes[..<slot.count])
    }

    /// The SHA-256 of all bytes.
    ///
    /// - Precondition: `next` has given `nil`.
    package var digest: [UInt8] {
        precondition(isAtEnd && !work.digest.isEmpty, "a stream has a digest when it was read to its end")
        return work.digest
    }

    /// What both threads share. Slots pass from one to the other by the semaphores: nobody looks at a slot that is the other's.
    private final class Work: @unchecked Sendable {
        struct Slot {
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Decompressor.chunkSize, alignment: 64)
            /// 0 at the end of the stream.
            var count = 0
            var failure: Decompressor.Failure?
        }

        var decompressor: Decompressor?
        /// Not an array: two threads may not change elements of one array at a time, even different ones.
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: HashedStream.depth)
        let free = Semaphore(value: UInt32(HashedStream.depth))
        let filled = Semaphore()
        let isAbandoned = Atomic(false)
        /// Written before the last slot is handed over.
        var digest: [UInt8] = []

        init() {
            for index in 0..<HashedStream.depth { (slots + index).initialize(to: Slot()) }
        }

        deinit {
            for index in 0..<HashedStream.depth { slots[index].bytes.deallocate() }
            slots.deinitialize(count: HashedStream.depth)
            slots.deallocate()
        }

        func run() {
            var hash = SHA256()
            var position = 0
            while true {
                free.wait()
                guard !isAbandoned.load(ordering: .acquiring) else { return }
                do throws(Decompressor.Failure) {
                    if let chunk = try decompressor?.next() {
                        let bytes = slots[position].bytes
                        // A chunk is no larger than the decompressor's buffers.
                        bytes.copyMemory(from: chunk)
                        slots[position].count = chunk.count
                        hash.update(UnsafeRawBufferPointer(rebasing: bytes[..<chunk.count]))
                        filled.signal()
                        position = (position + 1) % HashedStream.depth
                        continue
                    }
                    slots[position].count = 0
                } catch {
                    slots[position].failure = error
                }
                // The file is closed now, not when the reader is done.
                decompressor = nil
                digest = hash.finish()
                filled.signal()
                return
            }
        }
    }
}
