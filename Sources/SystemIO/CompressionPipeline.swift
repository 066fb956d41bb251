// gzip: RFC 1952; deflate: RFC 1951; zstd: RFC 8878

import SystemPackage

/// Bytes in, a hashed and optionally compressed file out, in one pass on several threads.
///
/// The output is made of fixed blocks: one gzip member, each block with the 32 KiB before it as dictionary, or one frame of zstd for
/// each block. So its bytes depend on the input only: never on the number of threads or on how the bytes arrived. Memory is fixed by the number of threads (about
/// 2 MiB for each of `2 * threads + 2` blocks). A pipeline that is dropped without `finish` ends its threads first.
package struct CompressionPipeline: ~Copyable {
    package enum Format: Sendable, Hashable {
        /// The bytes as they are.
        case none
        /// Without a level by ISA-L, which is fast; with one, 1 to 9, by zlib.
        case gzip(level: Int?)
        /// By libzstd, at level 1 to 19.
        case zstd(level: Int)

        package static let gzip = Format.gzip(level: nil)
    }

    /// SHA-256 (32 bytes) and size in bytes of what went in and of what came out.
    package struct Summary: Sendable, Hashable {
        package let inputHash: [UInt8]
        package let inputSize: Int64
        package let outputHash: [UInt8]
        package let outputSize: Int64
    }

    private let ring: CompressionRing
    private let format: Format
    private var inputHash: SHA256? = SHA256()
    private var inputSize: Int64 = 0
    private var crc: UInt32 = 0

    /// - Parameters:
    ///   - threads: workers besides the caller's thread; 0 does all work in the caller's calls. Without compression one is enough.
    ///   - sink: gets the output in order, on any thread, one call at a time; what it throws ends the pipeline and reaches
    ///     the producer by its next call.
    package init(
        _ format: Format, threads: Int, sink: @escaping @Sendable (UnsafeRawBufferPointer) throws(SystemError) -> Void
    ) {
        self.format = format
        let useful = format == .none ? min(threads, 1) : threads
        ring = CompressionRing(format, threads: max(0, useful), sink: sink)
    }

    /// A pipeline that writes to `file`, which stays open.
    package init(_ format: Format, threads: Int, file: PipelineFile) {
        self.init(format, threads: threads) { bytes throws(SystemError) in try file.write(bytes) }
    }

    deinit {
        ring.stop()
    }

    /// Where the next bytes go: fill a beginning of it and `commit` that many. Never empty.
    package var freeSpace: UnsafeMutableRawBufferPointer { ring.current.free }

    /// Takes over the first `count` bytes of `freeSpace`, waiting while all blocks are busy.
    ///
    /// Throws what the sink threw, now or in an earlier block.
    package mutating func commit(_ count: Int) throws(SystemError) {
        precondition(count >= 0 && count <= ring.current.free.count, "more bytes committed than there is space")
        ring.current.count += count
        guard ring.current.free.isEmpty else { return }
        try submit()
    }

    /// Copies `bytes` in.
    package mutating func append(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var rest = bytes
        while !rest.isEmpty {
            let space = freeSpace
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(space.count))
            space.copyMemory(from: piece)
            rest = UnsafeRawBufferPointer(rebasing: rest[piece.count...])
            try commit(piece.count)
        }
    }

    package mutating func append(_ bytes: [UInt8]) throws(SystemError) {
        let result: Result<Void, SystemError> = bytes.withUnsafeBytes { buffer in
            do throws(SystemError) { return .success(try append(buffer)) } catch { return .failure(error) }
        }
        try result.get()
    }

    /// Writes what is left. After success the sink has everything; after a failure its content is of no use.
    package consuming func finish() throws(SystemError) -> Summary {
        if ring.current.count > 0 { try submit() }
        try ring.drain()
        let trailer = format.trailer(crc: crc, size: inputSize)
        if !trailer.isEmpty { try ring.writeLast(trailer) }
        let output = ring.takeOutput()
        let hash = inputHash.take()?.finish() ?? []
        return Summary(
            inputHash: hash, inputSize: inputSize, outputHash: output.hash ?? hash, outputSize: output.size)
    }

    /// Hashes the block here, where it is in the cache and while the workers compress others, and hands it on.
    private mutating func submit() throws(SystemError) {
        let input = ring.current.input
        inputHash?.update(input)
        if case .gzip = format { crc = GzipBlockEncoder.crc32(crc, input) }
        inputSize += Int64(input.count)
        try ring.submit()
    }
}

/// An open file that a pipeline writes to: by one thread at a time while it runs, closed by its owner once it is finished.
package final class PipelineFile: @unchecked Sendable {
    private var descriptor: OwnedDescriptor?

    package init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = consume descriptor
    }

    fileprivate func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        guard descriptor != nil else { throw SystemError(call: "write", errno: .badFileDescriptor) }
        try descriptor?.writeAll(bytes)
    }

    /// Closes the file, and reports what it could not keep. Only after the pipeline's `finish`.
    package func close() throws(SystemError) {
        try descriptor.take()?.close()
    }
}
