import Layers
import OCI
import SystemIO

/// Files of layers that are not unpacked, read from the layers' tars: in one pass over each, into one scratch file.
struct LayerContents {
    let tools: BuildTools

    /// Where the bytes wait: from that offset of the spool on.
    struct Found {
        let spool: ArchiveSpool
        let offsets: [ContentPlace: Int64]

        func offset(of place: ContentPlace) throws -> Int64 {
            guard let offset = offsets[place] else {
                throw BuildError("[internal error] a file of \(place.diffID) was not read")
            }
            return offset
        }

        /// All of a small file.
        func bytes(of place: ContentPlace, size: Int64) throws -> [UInt8] {
            let offset = try offset(of: place)
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(size), alignment: 1)
            defer { bytes.deallocate() }
            var count = 0
            while count < bytes.count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[count...])
                let more = try spool.file.read(into: rest, at: offset + Int64(count))
                guard more > 0 else { break }
                count += more
            }
            return Array(bytes[..<count])
        }
    }

    /// Brings the content of entries into a spool. The blobs of their layers are fetched.
    ///
    /// - Parameter layers: all that the places may name.
    func bring(_ places: Set<ContentPlace>, of layers: [StoredLayer]) async throws -> Found {
        let spool = try ArchiveSpool(in: tools.scratch)
        var wanted: [Digest: Set<Int>] = [:]
        for place in places { wanted[place.diffID, default: []].insert(place.entry) }
        var jobs: [(StoredLayer, Set<Int>)] = []
        for stored in layers {
            if let entries = wanted.removeValue(forKey: stored.layer.diffID) { jobs.append((stored, entries)) }
        }
        guard wanted.isEmpty else { throw BuildError("[internal error] a file is in a layer that is not the image's") }
        var offsets: [ContentPlace: Int64] = [:]
        try await jobs.map(\.0).forEachConcurrently(width: BuildTools.unpackWidth) { [tools] in
            try await tools.blobs.fetch($0)
        }
        for (stored, entries) in jobs {
            let found = try await tools.pool.run { () throws(any Error) in
                try self.read(entries, of: stored.layer, into: spool)
            }
            offsets.merge(found) { $1 }
        }
        return Found(spool: spool, offsets: offsets)
    }

    /// Reads a layer up to the last of the entries. The blob and its tar were verified when they were stored and listed.
    private func read(
        _ entries: Set<Int>, of layer: Layer, into spool: ArchiveSpool
    ) throws -> [ContentPlace: Int64] {
        var reader = try TarReader(
            layer: try tools.store.open(layer.descriptor), compression: try layer.compression(),
            name: layer.descriptor.digest.description)
        var offsets: [ContentPlace: Int64] = [:]
        var number = 0
        while offsets.count < entries.count, let entry = try reader.next() {
            try tools.checkCancelled()
            if entries.contains(number), case .file(let size) = entry.kind {
                offsets[ContentPlace(diffID: layer.diffID, entry: number)] = try spool.store(&reader, size: size)
            }
            number += 1
        }
        guard offsets.count == entries.count else {
            throw BuildError("the layer \(layer.descriptor.digest) does not hold what was listed of it")
        }
        return offsets
    }
}
