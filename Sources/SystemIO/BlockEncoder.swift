/// The compressor of one worker: turns one block after the other into a piece of one stream.
///
/// The pieces of all blocks in order, between `header` and `trailer`, are what any reader of the format takes. Each depends only
/// on its block and the `window` bytes before it.
enum BlockEncoder: ~Copyable {
    case isal(GzipBlockEncoder)
    case zlib(ZlibBlockEncoder)
    case zstd(ZstdBlockEncoder)

    /// - Returns: `nil` for bytes that stay as they are.
    init?(_ format: CompressionPipeline.Format) {
        switch format {
        case .none: return nil
        case .gzip(level: nil): self = .isal(GzipBlockEncoder())
        case .gzip(level: let level?): self = .zlib(ZlibBlockEncoder(level: level))
        case .zstd(let level): self = .zstd(ZstdBlockEncoder(level: level))
        }
    }

    /// Compresses `data`, of which matches may reach into `dictionary`, the bytes before it.
    ///
    /// - Parameter output: as much as the format's `outputLimit` says.
    /// - Returns: bytes written to `output`.
    mutating func encode(
        _ data: UnsafeRawBufferPointer, after dictionary: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int {
        switch consume self {
        case .isal(var encoder):
            let count = encoder.encode(data, after: dictionary, into: output)
            self = .isal(encoder)
            return count
        case .zlib(var encoder):
            let count = encoder.encode(data, after: dictionary, into: output)
            self = .zlib(encoder)
            return count
        case .zstd(var encoder):
            let count = encoder.encode(data, into: output)
            self = .zstd(encoder)
            return count
        }
    }
}

extension CompressionPipeline.Format {
    /// Whether anything is compressed.
    var compresses: Bool { self != .none }

    /// Room that a block's piece may need, bytes.
    func outputLimit(for count: Int) -> Int {
        switch self {
        case .none: 0
        case .gzip(level: nil): GzipBlockEncoder.outputLimit(for: count)
        case .gzip: ZlibBlockEncoder.outputLimit(for: count)
        case .zstd: ZstdBlockEncoder.outputLimit(for: count)
        }
    }

    /// What the stream begins with.
    var header: [UInt8] {
        switch self {
        case .none, .zstd: []
        case .gzip: GzipBlockEncoder.header
        }
    }

    /// What the stream ends with.
    ///
    /// - Parameters:
    ///   - crc: CRC-32 of all input.
    ///   - size: bytes of all input.
    func trailer(crc: UInt32, size: Int64) -> [UInt8] {
        switch self {
        case .none: return []
        case .zstd: return size == 0 ? ZstdBlockEncoder.emptyFrame : []
        case .gzip:
            var trailer = GzipBlockEncoder.lastBlock
            for word in [crc, UInt32(truncatingIfNeeded: size)] {
                for shift in stride(from: UInt32(0), to: 32, by: 8) {
                    trailer.append(UInt8(truncatingIfNeeded: word >> shift))
                }
            }
            return trailer
        }
    }
}
