import Glibc

/// A fixed ring of blocks on their way from one producer through any number of workers to one sink, in order.
///
/// A slot goes round: the producer fills it, a worker compresses it, and whichever worker completes the block that is next in
/// line writes it and all complete ones after it; then the producer may fill it again. Slots change hands under the
/// lock and have one owner at any time, so their memory needs none. Memory is bounded by the number of slots.
final class CompressionRing: @unchecked Sendable {
    typealias Sink = @Sendable (UnsafeRawBufferPointer) throws(SystemError) -> Void

    /// Bytes of input that are compressed as one piece. A constant, because it decides the output bytes.
    static let blockSize = 1024 * 1024

    private let monitor = Monitor()
    private let slots: [Slot]
    private let format: CompressionPipeline.Format
    private let sink: Sink

    // Guarded by the monitor.
    private var filled = 0
    private var taken = 0
    private var written = 0
    private var isWriting = false
    private var isStopping = false
    private var workers = 0
    private var failure: SystemError?

    // Of whoever writes; of the producer once everything is written.
    private var outputHash: SHA256?
    private var outputSize: Int64 = 0

    private let hasThreads: Bool
    /// Of the producer, when there are no workers.
    private var ownEncoder: BlockEncoder?

    /// - Parameter threads: 0 compresses and writes on the producer's thread.
    init(_ format: CompressionPipeline.Format, threads: Int, sink: @escaping Sink) {
        self.format = format
        self.sink = sink
        outputHash = format.compresses ? SHA256() : nil
        let outputLimit = format.outputLimit(for: CompressionRing.blockSize)
        // A block being filled, one in each worker, one ahead of each, and a complete one that waits for its turn.
        slots = (0..<(threads == 0 ? 2 : 2 * threads + 2)).map { _ in Slot(outputLimit: outputLimit) }
        workers = threads
        hasThreads = threads > 0
        if threads == 0 { ownEncoder = BlockEncoder(format) }
        for _ in 0..<threads {
            BlockingPool.detach { [self] in work() }
        }
    }

    // MARK: The producer's side

    /// The slot that the producer fills now: its own until `submit`.
    var current: Slot { slots[filled % slots.count] }

    /// Hands `current` on and waits until the next slot is free.
    ///
    /// Throws the sink's failure as soon as there is one; nothing is written after it.
    func submit() throws(SystemError) {
        let slot = current
        let next = slots[(filled + 1) % slots.count]
        guard hasThreads else {
            if let failure { throw failure }
            encode(slot, &ownEncoder)
            do throws(SystemError) {
                try write(slot)
            } catch {
                failure = error
                throw error
            }
            filled += 1
            next.start(after: slot)
            return
        }
        monitor.lock()
        filled += 1
        monitor.wakeAll()
        while failure == nil, filled - written >= slots.count { monitor.wait() }
        let failure = self.failure
        monitor.unlock()
        if let failure { throw failure }
        // `slot` may be written by now, but only the producer changes its input.
        next.start(after: slot)
    }

    /// Waits until all that was submitted is written; the workers have ended then.
    func drain() throws(SystemError) {
        monitor.lock()
        while failure == nil, workers > 0, written < filled { monitor.wait() }
        let failure = self.failure
        monitor.unlock()
        stop()
        if let failure { throw failure }
    }

    /// Writes what follows the blocks. Only after `drain`.
    func writeLast(_ bytes: [UInt8]) throws(SystemError) {
        try writeHeader()
        try write(bytes)
    }

    private func writeHeader() throws(SystemError) {
        if outputSize == 0, !format.header.isEmpty { try write(format.header) }
    }

    private func write(_ bytes: [UInt8]) throws(SystemError) {
        let result: Result<Void, SystemError> = bytes.withUnsafeBytes { buffer in
            do throws(SystemError) { return .success(try write(buffer)) } catch { return .failure(error) }
        }
        try result.get()
    }

    /// SHA-256 (nil when nothing is compressed: it is the input's) and size of all that went to the sink. Only after `drain`.
    func takeOutput() -> (hash: [UInt8]?, size: Int64) {
        (outputHash.take()?.finish(), outputSize)
    }

    /// Ends the workers, dropping what is not written, and returns when none runs any more.
    func stop() {
        monitor.lock()
        isStopping = true
        monitor.wakeAll()
        while workers > 0 { monitor.wait() }
        monitor.unlock()
    }

    // MARK: The workers' side

    private func work() {
        var encoder = BlockEncoder(format)
        monitor.lock()
        while true {
            while !isStopping, taken == filled { monitor.wait() }
            guard !isStopping, failure == nil else { break }
            let slot = slots[taken % slots.count]
            taken += 1
            monitor.unlock()
            encode(slot, &encoder)
            monitor.lock()
            slot.isReady = true
            writeReadySlots()
        }
        workers -= 1
        monitor.wakeAll()
        monitor.unlock()
    }

    /// Writes the blocks that are complete and next in line, unless another worker is at it. Called and left with the lock held.
    private func writeReadySlots() {
        guard !isWriting else { return }
        isWriting = true
        while written < taken, failure == nil, !isStopping {
            let slot = slots[written % slots.count]
            guard slot.isReady else { break }
            slot.isReady = false
            monitor.unlock()
            var problem: SystemError?
            do throws(SystemError) { try write(slot) } catch { problem = error }
            monitor.lock()
            if let problem { failure = problem } else { written += 1 }
            monitor.wakeAll()
        }
        isWriting = false
    }

    private func encode(_ slot: Slot, _ encoder: inout BlockEncoder?) {
        guard format.compresses else { return }
        slot.outputCount = encoder?.encode(slot.input, after: slot.dictionary, into: slot.output) ?? 0
    }

    private func write(_ slot: Slot) throws(SystemError) {
        try writeHeader()
        try write(format.compresses ? UnsafeRawBufferPointer(rebasing: slot.output[..<slot.outputCount]) : slot.input)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        try sink(bytes)
        outputHash?.update(bytes)
        outputSize += Int64(bytes.count)
    }

    // MARK: Parts

    /// One block: its bytes, the window before them, and what they compress to.
    final class Slot: @unchecked Sendable {
        private let memory: UnsafeMutableRawBufferPointer
        /// Bytes of data, at the start of the block.
        var count = 0
        private var dictionaryCount = 0
        fileprivate let output: UnsafeMutableRawBufferPointer
        fileprivate var outputCount = 0
        fileprivate var isReady = false

        fileprivate init(outputLimit: Int) {
            memory = .allocate(byteCount: GzipBlockEncoder.window + CompressionRing.blockSize, alignment: 64)
            output = .allocate(byteCount: outputLimit, alignment: 64)
        }

        deinit {
            memory.deallocate()
            output.deallocate()
        }

        /// What is not filled yet; empty when the block is full.
        var free: UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(rebasing: memory[(GzipBlockEncoder.window + count)...])
        }

        var input: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: memory[GzipBlockEncoder.window..<(GzipBlockEncoder.window + count)])
        }

        fileprivate var dictionary: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(
                rebasing: memory[(GzipBlockEncoder.window - dictionaryCount)..<GzipBlockEncoder.window])
        }

        /// Empties the block and keeps the end of the one before it as the dictionary.
        fileprivate func start(after previous: Slot) {
            count = 0
            let tail = UnsafeRawBufferPointer(rebasing: previous.input.suffix(GzipBlockEncoder.window))
            dictionaryCount = tail.count
            let place = memory[(GzipBlockEncoder.window - tail.count)..<GzipBlockEncoder.window]
            UnsafeMutableRawBufferPointer(rebasing: place).copyMemory(from: tail)
        }
    }
}
