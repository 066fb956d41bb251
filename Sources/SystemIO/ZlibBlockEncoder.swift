import CZlib

/// Turns one block of bytes into deflate blocks with zlib: smaller than ISA-L's, and many times slower.
///
/// The same dictionary, data and level give the same bytes on every processor, whatever the encoder did before. Header and end of
/// the stream are those of `GzipBlockEncoder`.
struct ZlibBlockEncoder: ~Copyable {
    /// zlib keeps a pointer back to its stream: it must not move.
    private let stream: UnsafeMutablePointer<z_stream>

    /// - Parameter level: 1 (fast) to 9 (small).
    init(level: Int) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // A negative window makes raw deflate (RFC 1951); 8 is zlib's usual amount of memory.
        let result = deflateInit2_(
            stream, Int32(level), Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        precondition(result == Z_OK, "zlib refused level \(level): \(result)")
    }

    deinit {
        deflateEnd(stream)
        stream.deinitialize(count: 1)
        stream.deallocate()
    }

    /// More than what zlib's `deflateBound` says for any setting (an eighth more, and a 64th), and the empty block of a flush.
    static func outputLimit(for count: Int) -> Int {
        count + count / 8 + count / 64 + 64
    }

    /// Compresses `data`, of which matches may reach into `dictionary`, the bytes before it.
    ///
    /// - Parameter output: at least `outputLimit(for: data.count)` bytes.
    /// - Returns: bytes written to `output`: whole deflate blocks, ending at a byte border.
    mutating func encode(
        _ data: UnsafeRawBufferPointer, after dictionary: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int {
        guard let input = data.baseAddress, let start = output.baseAddress, !data.isEmpty else { return 0 }
        var result = deflateReset(stream)
        precondition(result == Z_OK, "zlib cannot begin anew: \(result)")
        if let before = dictionary.baseAddress, !dictionary.isEmpty {
            result = deflateSetDictionary(
                stream, before.assumingMemoryBound(to: UInt8.self), UInt32(dictionary.count))
            precondition(result == Z_OK, "zlib refused a dictionary of \(dictionary.count) bytes: \(result)")
        }
        // zlib declares its input mutable but only reads it.
        stream.pointee.next_in = UnsafeMutableRawPointer(mutating: input).assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = UInt32(data.count)
        stream.pointee.next_out = start.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(output.count)
        result = deflate(stream, Z_SYNC_FLUSH)
        // With room left over the flush is complete.
        precondition(
            result == Z_OK && stream.pointee.avail_in == 0 && stream.pointee.avail_out > 0,
            "zlib failed to compress: \(result)")
        return output.count - Int(stream.pointee.avail_out)
    }
}
