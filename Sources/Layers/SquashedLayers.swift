// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md

import SystemIO

/// What several layers come to on the layers below them, as the entries of one layer.
package struct SquashedLayers {
    package struct Item: Sendable {
        package var entry: LayerEntry
        /// Which of the layers has the file, 0 the lowest; a deletion has none.
        package let layer: Int?
    }

    /// In the order of a layer; hard links stand as files of their own.
    package private(set) var items: [Item] = []
    private let above: UnionTree
    private let below: UnionTree
    private let count: Int

    /// - Parameters:
    ///   - layers: what each of them holds, the lowest first; all name the folders on the way to their entries.
    ///   - below: the tree under them.
    package init(_ layers: [[LayerEntry]], on below: UnionTree) throws(LayerError) {
        var indices: [TreeLayer] = []
        for entries in layers.reversed() { indices.append(.entries(try LayerIndex(entries))) }
        above = UnionTree(layers: indices + below.layers)
        self.below = below
        count = layers.count
        // Folders that turn out to hold no change are taken out again below.
        var found: [Item] = []
        try above.walk(from: []) { node throws(LayerError) in
            let isOwn = node.layer < count
            // Layers need not describe the root to change what is in it.
            guard isOwn || node.path.isEmpty else { return .skipBelow }
            if isOwn { found.append(Item(entry: try above.entry(of: node), layer: count - 1 - node.layer)) }
            guard node.status.kind == .directory else { return .goOn }
            for old in try below.children(of: node.path) where try above.node(at: old.path) == nil {
                found.append(Item(entry: LayerEntry(path: old.path, kind: .whiteout), layer: nil))
            }
            return .goOn
        }
        var needed: Set<[UInt8]> = []
        for item in found.reversed() {
            let path = item.entry.path
            let isOnTheWay = needed.contains(path) && !path.isEmpty
            if item.entry.kind == .directory, !isOnTheWay, try isUnchanged(item.entry) { continue }
            if !path.isEmpty { needed.insert(path.parent) }
            items.append(item)
        }
        items.reverse()
    }

    /// Whether a folder is below as it is above; of its time nothing is said, as with any change of a folder.
    private func isUnchanged(_ folder: LayerEntry) throws(LayerError) -> Bool {
        guard let old = try below.node(at: folder.path), old.status.kind == .directory else { return false }
        let (status, attributes) = (old.status, try below.attributes(old))
        return status.permissions == folder.permissions && status.uid == folder.uid && status.gid == folder.gid
            && attributes == folder.attributes
    }
}
