// https://github.com/facebook/zstd/blob/v1.5.4/doc/zstd_compression_format.md

import CZstd

/// Turns one block of bytes into one frame of zstd.
///
/// Readers take frames one after the other as one stream. A frame cannot look back at the one before it: that costs a little
/// size, and lets any number of threads work. The same data and level give the same bytes with the same version of the library.
struct ZstdBlockEncoder: ~Copyable {
    /// A frame without content, for a stream without any (format, 3.1).
    static let emptyFrame: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00]

    private let context: OpaquePointer

    /// - Parameter level: 1 (fast) to 19 (small).
    init(level: Int) {
        guard let context = ZSTD_createCCtx() else { preconditionFailure("no memory for a compressor") }
        let result = ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level))
        precondition(ZSTD_isError(result) == 0, "zstd refused level \(level)")
        self.context = context
    }

    deinit {
        ZSTD_freeCCtx(context)
    }

    static func outputLimit(for count: Int) -> Int {
        ZSTD_compressBound(count)
    }

    /// - Parameter output: at least `outputLimit(for: data.count)` bytes.
    /// - Returns: bytes written to `output`.
    mutating func encode(_ data: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        guard let input = data.baseAddress, let start = output.baseAddress, !data.isEmpty else { return 0 }
        let count = ZSTD_compress2(context, start, output.count, input, data.count)
        // All that can fail is a lack of room or memory.
        precondition(ZSTD_isError(count) == 0, "zstd failed to compress")
        return count
    }
}
