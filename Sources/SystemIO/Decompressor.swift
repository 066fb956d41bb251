// https://www.rfc-editor.org/rfc/rfc1952 (gzip), https://www.rfc-editor.org/rfc/rfc8878 (zstd)

import CISAL
import CZlib
import CZstd
import Glibc

/// Reads a compressed file as the chunks of what was compressed.
///
/// Memory is bounded: two buffers of `chunkSize` and the codec's window (zstd: at most 128 MiB, its default limit).
///
/// What may follow a gzip stream: further gzip members (their contents follow each other), then zero bytes to the end of
/// the file, as tapes pad it. Anything else is damage. An empty file is a damaged gzip or zstd stream.
package struct Decompressor: ~Copyable {
    package enum Format: Sendable, Hashable {
        case none, gzip, zstd
    }

    package enum Failure: Error, Sendable, Hashable {
        case system(SystemError)
        /// The bytes are not a whole stream of the format; the reason is for people.
        case damaged(String)
    }

    /// Bytes: large enough for large writes, small enough to stay in the second-level cache with its twin.
    package static let chunkSize = 256 * 1024

    private let codec: Codec

    /// Takes over `file`. A file that can be sought is read from its beginning, wherever its position is; a pipe from
    /// where it is.
    ///
    /// - Parameters:
    ///   - growth: of a file that is still being written, and can be sought.
    ///   - chunkSize: bytes of each buffer, at least 1; other than the default for tests.
    package init(
        _ file: consuming OwnedDescriptor, format: Format, growth: FileGrowth? = nil,
        chunkSize: Int = Decompressor.chunkSize
    ) {
        let input = CompressedInput(
            file, growth, size: format == .gzip ? max(chunkSize, GzipCodec.smallestWindow) : chunkSize)
        codec =
            switch format {
            case .none: Verbatim(input)
            case .gzip: GzipCodec(input, size: chunkSize)
            case .zstd: ZstdCodec(input, size: chunkSize)
            }
    }

    /// The next bytes, never empty; `nil` at the sound end of the stream. They are valid until the next call.
    package mutating func next() throws(Failure) -> UnsafeRawBufferPointer? {
        try codec.next()
    }
}

/// The compressed bytes: a window of the file that codecs eat from the front.
private final class CompressedInput {
    private let file: OwnedDescriptor
    /// How far the file may be read; `nil`: to its end.
    private let growth: FileGrowth?
    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var isSeekable: Bool
    private var offset: Int64 = 0
    private var start = 0
    private var end = 0

    init(_ file: consuming OwnedDescriptor, _ growth: FileGrowth?, size: Int) {
        isSeekable = lseek(file.raw, 0, SEEK_CUR) >= 0
        self.file = file
        self.growth = growth
        buffer = .allocate(byteCount: max(size, 1), alignment: 64)
    }

    deinit {
        buffer.deallocate()
    }

    var available: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[start..<end]) }

    func consume(_ count: Int) {
        start += count
    }

    /// Reads more once all is eaten; false at the end of the file.
    func refill() throws(Decompressor.Failure) -> Bool {
        guard start == end else { return true }
        do throws(SystemError) {
            var space = buffer
            if let growth {
                space = UnsafeMutableRawBufferPointer(
                    rebasing: buffer.prefix(Int(clamping: try growth.wait(past: offset) - offset)))
            }
            let count = isSeekable ? try file.read(into: space, at: offset) : try file.read(into: space)
            offset += Int64(count)
            start = 0
            end = count
            return count > 0
        } catch {
            throw .system(error)
        }
    }

    func rewind() {
        offset = 0
        start = 0
        end = 0
    }
}

private class Codec {
    let input: CompressedInput

    init(_ input: CompressedInput) {
        self.input = input
    }

    func next() throws(Decompressor.Failure) -> UnsafeRawBufferPointer? { nil }
}

private final class Verbatim: Codec {
    override func next() throws(Decompressor.Failure) -> UnsafeRawBufferPointer? {
        guard try input.refill() else { return nil }
        let bytes = input.available
        input.consume(bytes.count)
        return bytes
    }
}

// MARK: gzip

/// ISA-L first, which is more than twice as fast; zlib has the last word on streams that ISA-L refuses.
private final class GzipCodec: Codec {
    private let output: UnsafeMutableRawBufferPointer
    private var inflater: any Inflater
    /// Whether the next input byte begins a member, or what may follow the last one.
    private var isBetweenMembers = true
    private var members = 0
    private var isAfterPadding = false
    /// Bytes given out, and of those how many the fall-back has still to pass over.
    private var produced: Int64 = 0
    private var toSkip: Int64 = 0
    /// CRC-32 of the bytes given out, and of those passed over: both must be the same bytes.
    private var producedCheck: UInt32 = 0
    private var skippedCheck: UInt32 = 0

    /// Bytes: ISA-L 2.30 reads some stored blocks wrong that it is given one or two bytes at a time.
    static let smallestWindow = 16

    init(_ input: CompressedInput, size: Int) {
        output = .allocate(byteCount: max(size, GzipCodec.smallestWindow), alignment: 64)
        inflater = ISALInflater()
        super.init(input)
    }

    deinit {
        output.deallocate()
    }

    override func next() throws(Decompressor.Failure) -> UnsafeRawBufferPointer? {
        while true {
            if isBetweenMembers {
                guard try beginMember() else {
                    guard toSkip == 0 else { throw .damaged("the gzip stream is damaged: its checksum is wrong") }
                    return nil
                }
            }
            let step = inflater.inflate(input.available, into: output)
            input.consume(step.consumed)
            if step.state == .refused {
                try fallBack(step.reason)
                continue
            }
            if step.state == .finished {
                isBetweenMembers = true
                members += 1
            } else if step.produced == 0 {
                guard step.consumed > 0 || input.available.isEmpty else {
                    throw .damaged("the gzip stream stops making progress")
                }
                guard try input.refill() else { throw .damaged("the gzip stream is truncated") }
            }
            if let bytes = try account(for: step.produced) { return bytes }
        }
    }

    /// What of the output is new.
    ///
    /// - Throws: if the fall-back reads other bytes than those that were given out already.
    private func account(for count: Int) throws(Decompressor.Failure) -> UnsafeRawBufferPointer? {
        let skipped = Int(min(toSkip, Int64(count)))
        if skipped > 0 {
            skippedCheck = GzipCodec.crc(skippedCheck, UnsafeRawBufferPointer(rebasing: output[..<skipped]))
            toSkip -= Int64(skipped)
            guard toSkip > 0 || skippedCheck == producedCheck else {
                throw .damaged("the gzip stream is damaged: its checksum is wrong")
            }
        }
        guard skipped < count else { return nil }
        let bytes = UnsafeRawBufferPointer(rebasing: output[skipped..<count])
        producedCheck = GzipCodec.crc(producedCheck, bytes)
        produced += Int64(bytes.count)
        return bytes
    }

    private static func crc(_ seed: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        crc32_gzip_refl(seed, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
    }

    /// Makes ready for the next member; false where the file soundly ends.
    private func beginMember() throws(Decompressor.Failure) -> Bool {
        guard try input.refill() else {
            guard members > 0 else { throw .damaged("the gzip stream is empty") }
            return false
        }
        if members > 0 {
            while let first = input.available.first, first == 0 {
                isAfterPadding = true
                input.consume(input.available.prefix { $0 == 0 }.count)
                guard try input.refill() else { return false }
            }
            // ID1 of RFC 1952; what follows it is for the inflater to judge.
            guard !isAfterPadding, input.available.first == 0x1f else {
                throw .damaged("there is data after the end of the gzip stream")
            }
        }
        inflater.beginMember()
        isBetweenMembers = false
        return true
    }

    private func fallBack(_ reason: String) throws(Decompressor.Failure) {
        guard inflater is ISALInflater, input.isSeekable else {
            throw .damaged("the gzip stream is damaged: \(reason)")
        }
        inflater = ZlibInflater()
        input.rewind()
        isBetweenMembers = true
        members = 0
        isAfterPadding = false
        toSkip = produced
        skippedCheck = 0
    }
}

private struct InflateStep {
    enum State {
        case more, finished, refused
    }
    var state: State
    var consumed: Int
    var produced: Int
    var reason = ""
}

private protocol Inflater {
    func beginMember()
    func inflate(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> InflateStep
}

private final class ISALInflater: Inflater {
    private let state: UnsafeMutablePointer<inflate_state>

    init() {
        state = .allocate(capacity: 1)
        isal_inflate_init(state)
    }

    deinit {
        state.deallocate()
    }

    func beginMember() {
        isal_inflate_reset(state)
        // Header and trailer are parsed too, and the CRC-32 and length checked.
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
    }

    func inflate(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> InflateStep {
        state.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        state.pointee.avail_in = UInt32(input.count)
        state.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        state.pointee.avail_out = UInt32(output.count)
        let result = isal_inflate(state)
        let consumed = input.count - Int(state.pointee.avail_in)
        let produced = output.count - Int(state.pointee.avail_out)
        guard result >= 0, result != ISAL_NEED_DICT else {
            return InflateStep(state: .refused, consumed: 0, produced: 0, reason: "ISA-L error \(result)")
        }
        let isFinished = state.pointee.block_state == ISAL_BLOCK_FINISH
        return InflateStep(state: isFinished ? .finished : .more, consumed: consumed, produced: produced)
    }
}

private final class ZlibInflater: Inflater {
    // zlib keeps a pointer back to its z_stream: it must not move.
    private let stream: UnsafeMutablePointer<z_stream>

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 15 + 16: the largest window, gzip wrapper only. Fails only when memory is exhausted.
        guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            fatalError("zlib cannot start to inflate")
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    func beginMember() {
        inflateReset(stream)
    }

    func inflate(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> InflateStep {
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(input.count)
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(output.count)
        let result = CZlib.inflate(stream, Z_NO_FLUSH)
        let consumed = input.count - Int(stream.pointee.avail_in)
        let produced = output.count - Int(stream.pointee.avail_out)
        switch result {
        case Z_OK, Z_BUF_ERROR: return InflateStep(state: .more, consumed: consumed, produced: produced)
        case Z_STREAM_END: return InflateStep(state: .finished, consumed: consumed, produced: produced)
        default:
            let reason = stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(result)"
            return InflateStep(state: .refused, consumed: 0, produced: 0, reason: reason)
        }
    }
}

// MARK: zstd

private final class ZstdCodec: Codec {
    private let output: UnsafeMutableRawBufferPointer
    private let stream: OpaquePointer
    private var isInsideFrame = true
    /// Whether the last call filled the output, so that more may wait inside the codec.
    private var mayHaveMore = false

    init(_ input: CompressedInput, size: Int) {
        // Fails only when memory is exhausted, which nothing here survives.
        guard let stream = ZSTD_createDStream() else { fatalError("libzstd cannot start to decompress") }
        self.stream = stream
        output = .allocate(byteCount: max(size, 1), alignment: 64)
        super.init(input)
    }

    deinit {
        ZSTD_freeDStream(stream)
        output.deallocate()
    }

    override func next() throws(Decompressor.Failure) -> UnsafeRawBufferPointer? {
        while true {
            if !mayHaveMore, !(try input.refill()) {
                guard !isInsideFrame else { throw .damaged("the zstd stream is truncated") }
                return nil
            }
            let source = input.available
            var from = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
            var to = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
            let result = ZSTD_decompressStream(stream, &to, &from)
            guard ZSTD_isError(result) == 0 else {
                throw .damaged("the zstd stream is damaged: \(String(cString: ZSTD_getErrorName(result)))")
            }
            input.consume(from.pos)
            // A call that did nothing between two frames says nothing about a new frame.
            if from.pos > 0 || to.pos > 0 { isInsideFrame = result != 0 }
            mayHaveMore = to.pos == to.size && isInsideFrame
            if to.pos > 0 { return UnsafeRawBufferPointer(rebasing: output[..<to.pos]) }
        }
    }
}
