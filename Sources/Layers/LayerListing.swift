package import OCI
package import SystemIO

/// All that the tar of a layer says of its files, without their content: enough to know every name, owner, mode and link of
/// an image that was never unpacked.
package struct LayerListing: Sendable, Hashable {
    package let diffID: Digest
    /// In the order of the tar, deletions included.
    package let entries: [LayerEntry]
    /// The content of small files that are asked for by name, by their place in `entries`.
    package let contents: [Int: [UInt8]]

    /// - Parameter entries: what was written to the layer's tar, in its order.
    package init(diffID: Digest, entries: [LayerEntry], contents: [Int: [UInt8]] = [:]) {
        self.diffID = diffID
        self.entries = entries
        self.contents = contents
    }

    /// Files whose content is kept: they say who `USER` and `--chown` mean.
    private static let kept: Set<[UInt8]> = [Array("etc/passwd".utf8), Array("etc/group".utf8)]
    /// Bytes of a file that is kept. A distribution's has 3 KiB; whoever has more users is read from the layer each time.
    private static let keptSize: Int64 = 256 * 1024

    /// Reads a layer's blob once, and lays nothing down.
    ///
    /// - Parameters:
    ///   - diffID: what the tar must hash to; else `LayerError.digestMismatch`.
    ///   - name: the layer for messages, as its digest.
    package init(
        reading blob: borrowing OwnedDescriptor, compression: MediaType.Compression, expecting diffID: Digest,
        name: String, cancellation: Cancellation
    ) throws(LayerError) {
        let copy: OwnedDescriptor
        do throws(SystemError) { copy = try blob.duplicate() } catch { throw .system(error) }
        var reader = try TarReader(layer: copy, compression: compression, name: name)
        var entries: [LayerEntry] = []
        var contents: [Int: [UInt8]] = [:]
        while let entry = try reader.next() {
            guard !cancellation.isCancelled else { throw .cancelled }
            if case .file(let size) = entry.kind, size <= LayerListing.keptSize, LayerListing.kept.contains(entry.path)
            {
                contents[entries.count] = try reader.readContent(size: size)
            }
            entries.append(entry)
        }
        let actual = try reader.finish()
        guard actual == diffID else {
            throw .digestMismatch(expected: diffID.description, actual: actual.description)
        }
        self.init(diffID: diffID, entries: entries, contents: contents)
    }
}

extension TarReader {
    /// All of the current entry's content, which has `size` bytes.
    fileprivate mutating func readContent(size: Int64) throws(LayerError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(size))
        while let block = try nextBlock() {
            let start = Int(clamping: block.offset)
            for (index, byte) in block.bytes.enumerated() where start + index < bytes.count {
                bytes[start + index] = byte
            }
        }
        return bytes
    }
}
