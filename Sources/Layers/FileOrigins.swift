import Glibc
import OCI
package import SystemIO
import SystemPackage

/// Which entry of which layer the files of a flat tree came from, by inode; so that files that look as before a RUN can be compared
/// with what they were.
///
/// Memory: about 40 bytes for each file.
package struct FileOrigins: Sendable {
    private struct Origin {
        let layer: Int32
        /// The entry's number in the layer, counted from 0.
        let entry: Int32
    }

    private var origins: [UInt64: Origin] = [:]

    package init() {}

    /// A layer was laid into the tree.
    ///
    /// - Parameter layer: its number among the layers of the tree, the lowest 0.
    package mutating func add(_ tree: UnpackedTree, layer: Int) {
        for file in tree.placed { origins[file.inode] = Origin(layer: Int32(layer), entry: file.entry) }
    }

    /// A layer was made of changes of the tree.
    package mutating func add(_ changes: TreeChanges, layer: Int) {
        for (number, change) in changes.entries.enumerated() {
            switch change.entry.kind {
            case .directory, .whiteout, .opaqueMarker, .hardLink: continue
            default: origins[change.inode] = Origin(layer: Int32(layer), entry: Int32(number))
            }
        }
    }

    /// Takes out of `changes` what is just as it was. Reads the layers that such files are from, up to the last of them.
    ///
    /// - Parameters:
    ///   - root: the folder that the changes were read from.
    ///   - layers: the blobs of the tree's layers, the lowest first.
    ///   - open: opens a blob.
    package func settleDoubts(
        of changes: inout TreeChanges, in root: Directory, layers: [Layer], cancellation: Cancellation,
        open: (Layer) throws(SystemError) -> OwnedDescriptor
    ) throws(LayerError) {
        var wanted: [Int32: [Int32: [Int]]] = [:]
        for doubt in changes.doubts {
            guard let origin = origins[doubt.inodeBefore] else { continue }
            wanted[origin.layer, default: [:]][origin.entry, default: []].append(doubt.entry)
        }
        var same: Set<Int> = []
        for (number, entries) in wanted {
            let layer = layers[Int(number)]
            guard let compression = layer.descriptor.mediaType.layerCompression else { continue }
            let blob = try system { () throws(SystemError) in try open(layer) }
            var reader = try TarReader(
                layer: blob, compression: compression, name: layer.descriptor.digest.description)
            var rest = entries
            var position: Int32 = 0
            while !rest.isEmpty, let old = try reader.next() {
                guard !cancellation.isCancelled else { throw .cancelled }
                if let indices = rest.removeValue(forKey: position) {
                    let candidates = indices.filter { isSame(changes.entries[$0].entry, old) }
                    if case .file = old.kind {
                        let files = candidates.map { (index: $0, change: changes.entries[$0]) }
                        same.formUnion(try FileOrigins.sameContent(files, in: root, &reader))
                    } else {
                        same.formUnion(candidates)
                    }
                }
                position += 1
            }
        }
        changes.takeOut(same)
    }

    /// Whether an entry says the same, but for its name, and for its content.
    private func isSame(_ entry: LayerEntry, _ old: LayerEntry) -> Bool {
        guard entry.permissions == old.permissions, entry.uid == old.uid, entry.gid == old.gid,
            entry.modified == old.modified, entry.attributes == old.attributes
        else { return false }
        if entry.kind == old.kind { return true }
        // One more name of a file; its content is compared.
        guard case .hardLink = entry.kind, case .file = old.kind else { return false }
        return true
    }

    /// Which of these files have the content that comes next in a layer.
    private static func sameContent(
        _ files: [(index: Int, change: LayerChange)], in root: Directory, _ reader: inout TarReader
    ) throws(LayerError) -> [Int] {
        var comparisons: [ContentComparison] = []
        for file in files { comparisons.append(ContentComparison(file.index, try file.change.open(in: root))) }
        while let block = try reader.nextBlock() {
            for comparison in comparisons {
                try system { () throws(SystemError) in try comparison.compare(block.bytes, at: block.offset) }
            }
        }
        var same: [Int] = []
        for comparison in comparisons {
            try system { () throws(SystemError) in try comparison.finish() }
            if comparison.isSame { same.append(comparison.index) }
        }
        return same
    }
}

/// An open file that is compared with content that comes in parts.
private final class ContentComparison {
    let index: Int
    private(set) var isSame = true
    private let file: OwnedDescriptor
    private var position: Int64 = 0
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 64)

    init(_ index: Int, _ file: consuming OwnedDescriptor) {
        self.index = index
        self.file = file
    }

    deinit { buffer.deallocate() }

    func compare(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(SystemError) {
        try expectZeros(upTo: offset)
        var rest = bytes
        while isSame, !rest.isEmpty {
            let part = try read(upTo: rest.count)
            guard let now = part.baseAddress, let before = rest.baseAddress, !part.isEmpty else {
                return isSame = false
            }
            isSame = memcmp(now, before, part.count) == 0
            rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
        }
    }

    /// The content is at its end: what the file has more of must be a hole.
    func finish() throws(SystemError) {
        try expectZeros(upTo: try file.status().size)
    }

    private func expectZeros(upTo end: Int64) throws(SystemError) {
        while isSame, position < end {
            let part = try read(upTo: Int(min(end - position, Int64(buffer.count))))
            isSame = !part.isEmpty && part.allSatisfy { $0 == 0 }
        }
    }

    private func read(upTo count: Int) throws(SystemError) -> UnsafeRawBufferPointer {
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(count))
        let read = try file.read(into: target, at: position)
        position += Int64(read)
        return UnsafeRawBufferPointer(rebasing: target[..<read])
    }
}
