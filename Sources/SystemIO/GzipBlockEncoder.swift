import CISAL

/// Turns one block of bytes into deflate blocks with ISA-L, at level 2.
///
/// The same dictionary and data give the same bytes on every x86-64 processor, whatever the encoder did before.
/// (Level 3 would not: its bytes differed between processors.)
package struct GzipBlockEncoder: ~Copyable {
    /// The fixed gzip header (RFC 1952): deflate, no name, no time, no level, operating system unknown.
    static let header: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]
    /// An empty last block, so that no data block needs to know whether it is the last one.
    static let lastBlock: [UInt8] = [0x03, 0x00]
    /// Farthest that a deflate match reaches back, bytes.
    static let window = 32 * 1024

    private let stream: UnsafeMutablePointer<isal_zstream>
    private let level: UnsafeMutablePointer<UInt8>
    /// ISAL_DEF_LVL2_LARGE of `<isa-l/igzip_lib.h>` (a macro that Swift does not import), ISA-L's default for level 2:
    /// histograms, hash table, and 64 Ki tokens of 4 bytes. It decides where deflate blocks end: a constant.
    private static let levelSize = 4 * 1024 + 2 * 32 * 1024 + 4 * 64 * 1024

    package init() {
        stream = .allocate(capacity: 1)
        level = .allocate(capacity: GzipBlockEncoder.levelSize)
        level.initialize(repeating: 0, count: GzipBlockEncoder.levelSize)
    }

    deinit {
        stream.deallocate()
        level.deallocate()
    }

    /// Room that `encode` needs in its output for `count` bytes: each stored block has 5 bytes of header.
    static func outputLimit(for count: Int) -> Int {
        count + (count / storedLimit + 1) * 5
    }

    /// Compresses `data`, of which matches may reach into `dictionary`, the bytes before it.
    ///
    /// - Parameter output: at least `outputLimit(for: data.count)` bytes.
    /// - Returns: bytes written to `output`: whole deflate blocks, ending at a byte border.
    package mutating func encode(
        _ data: UnsafeRawBufferPointer, after dictionary: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int {
        guard let input = data.baseAddress, let start = output.baseAddress, !data.isEmpty else { return 0 }
        isal_deflate_init(stream)
        stream.pointee.level = 2
        stream.pointee.level_buf = level
        stream.pointee.level_buf_size = UInt32(GzipBlockEncoder.levelSize)
        stream.pointee.flush = UInt16(SYNC_FLUSH)
        stream.pointee.end_of_stream = 0
        stream.pointee.gzip_flag = UInt16(IGZIP_DEFLATE)
        // ISA-L declares its inputs mutable but only reads them.
        if let before = dictionary.baseAddress, !dictionary.isEmpty {
            let bytes = UnsafeMutableRawPointer(mutating: before).assumingMemoryBound(to: UInt8.self)
            let result = isal_deflate_set_dict(stream, bytes, UInt32(dictionary.count))
            precondition(result == COMP_OK, "ISA-L refused a dictionary of \(dictionary.count) bytes")
        }
        stream.pointee.next_in = UnsafeMutableRawPointer(mutating: input).assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = UInt32(data.count)
        stream.pointee.next_out = start.assumingMemoryBound(to: UInt8.self)
        let limit = min(output.count, GzipBlockEncoder.outputLimit(for: data.count))
        stream.pointee.avail_out = UInt32(limit)
        let result = isal_deflate(stream)
        precondition(result == COMP_OK, "ISA-L failed to compress: \(result)")
        // With room left over the flush is complete. Data that does not shrink is stored as it is.
        guard stream.pointee.avail_in == 0, stream.pointee.avail_out > 0 else {
            return GzipBlockEncoder.store(data, into: output)
        }
        return limit - Int(stream.pointee.avail_out)
    }

    /// Longest stored block of deflate, bytes (RFC 1951, 3.2.4).
    private static let storedLimit = 65535

    private static func store(_ data: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        var at = 0
        var rest = data
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(storedLimit))
            let length = UInt16(piece.count)
            output[at] = 0
            output[at + 1] = UInt8(truncatingIfNeeded: length)
            output[at + 2] = UInt8(truncatingIfNeeded: length >> 8)
            output[at + 3] = UInt8(truncatingIfNeeded: ~length)
            output[at + 4] = UInt8(truncatingIfNeeded: ~length >> 8)
            at += 5
            UnsafeMutableRawBufferPointer(rebasing: output[at...]).copyMemory(from: piece)
            at += piece.count
            rest = UnsafeRawBufferPointer(rebasing: rest[piece.count...])
        }
        return at
    }

    /// The CRC-32 of what `crc` is the CRC-32 of, followed by `bytes`.
    package static func crc32(_ crc: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        crc32_gzip_refl(crc, bytes.assumingMemoryBound(to: UInt8.self).baseAddress, UInt64(bytes.count))
    }
}
