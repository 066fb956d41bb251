import Layers
import OCI
import SystemIO

/// Makes one layer of all that a build made, as `--single-snapshot` asks: what a later step deletes is in no layer then.
struct LayerSquash {
    let tools: BuildTools

    /// Where a file of the squashed layers waits, and which file it is: names with one number are hard links.
    private struct Stored {
        let offset: Int64
        let number: Int
    }

    /// The same image with one layer on top of its base, or with none if nothing is left of the changes.
    ///
    /// - Parameter base: the names of the base's layers.
    func squash(_ draft: ImageDraft, on base: UnionTree) async throws -> ImageDraft {
        let own = Array(draft.layers.dropFirst(draft.base.layers))
        guard own.count > 1 else { return draft }
        try await own.forEachConcurrently(width: BuildTools.unpackWidth) { [tools] in try await tools.blobs.fetch($0) }
        let layer = try await tools.pool.run { [tools] () throws(any Error) in
            try Self.write(own, on: base, with: tools)
        }
        return draft.squashed(into: layer.map { StoredLayer(layer: $0, origin: .store) })
    }

    private static func write(_ layers: [StoredLayer], on base: UnionTree, with tools: BuildTools) throws -> Layer? {
        let spool = try ArchiveSpool(in: tools.scratch)
        var entries: [[LayerEntry]] = []
        var files: [[[UInt8]: Stored]] = []
        var number = 0
        for stored in layers {
            let (found, content) = try read(stored.layer, into: spool, numbering: &number, with: tools)
            entries.append(found)
            files.append(content)
        }
        let squashed = try SquashedLayers(entries, on: base)
        guard !squashed.items.isEmpty else { return nil }
        return try tools.maker.make { writer in
            var names: [Int: [UInt8]] = [:]
            for item in squashed.items {
                var entry = item.entry
                guard let layer = item.layer, case .file(let size) = entry.kind, let file = files[layer][entry.path]
                else {
                    try writer.add(entry)
                    continue
                }
                if let first = names[file.number] {
                    entry.kind = .hardLink(target: first)
                    try writer.add(entry)
                } else if size == 0 {
                    try writer.add(entry)
                } else {
                    try writer.add(entry, content: spool.file, at: file.offset)
                }
                names[file.number] = names[file.number] ?? entry.path
            }
        }
    }

    /// Reads a layer: what it holds, and the content of its files into the spool.
    private static func read(
        _ layer: Layer, into spool: ArchiveSpool, numbering number: inout Int, with tools: BuildTools
    ) throws -> ([LayerEntry], [[UInt8]: Stored]) {
        let name = layer.descriptor.digest.description
        var reader = try TarReader(
            layer: try tools.store.open(layer.descriptor), compression: try layer.compression(), name: name)
        var entries: [LayerEntry] = []
        var files: [[UInt8]: Stored] = [:]
        while let entry = try reader.next() {
            try tools.checkCancelled()
            entries.append(entry)
            switch entry.kind {
            case .file(let size):
                files[entry.path] = Stored(offset: try spool.store(&reader, size: size), number: number)
                number += 1
            case .hardLink(let target): files[entry.path] = files[target]
            default: break
            }
        }
        return (entries, files)
    }
}
