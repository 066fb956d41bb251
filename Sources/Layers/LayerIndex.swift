import SystemIO

/// What a layer says of its files, without their content: a layer that was written but not unpacked.
package final class LayerIndex: Sendable {
    /// The root is node 0.
    static let root = 0

    struct Node: Sendable {
        var entry: LayerEntry
        /// Whether an entry described it; folders that are only implied are 0755, owned by root.
        var isDescribed: Bool
        var isOpaque = false
        /// Names to nodes.
        var children: [[UInt8]: Int] = [:]
    }

    let nodes: [Node]

    /// - Parameter entries: in the order of the layer; a later entry of the same path takes the place of an earlier one.
    package init(_ entries: [LayerEntry]) {
        var nodes = [Node(entry: LayerEntry(path: [], kind: .directory, permissions: 0o755), isDescribed: false)]
        for entry in entries {
            let node = LayerIndex.node(entry.path, &nodes)
            var target = entry
            if case .opaqueMarker = entry.kind {
                nodes[node].isOpaque = true
                continue
            }
            if case .whiteout = entry.kind {
                // What the layer itself has hides the deletion; its folder takes the place of the lower one.
                if nodes[node].isDescribed || !nodes[node].children.isEmpty {
                    nodes[node].isOpaque = true
                    continue
                }
            }
            if case .hardLink(let link) = entry.kind {
                target = nodes[LayerIndex.node(link, &nodes)].entry
                target.path = entry.path
            }
            if nodes[node].isDescribed, nodes[node].entry.kind == .whiteout { nodes[node].isOpaque = true }
            nodes[node].entry = target
            nodes[node].isDescribed = true
            if target.kind != .directory { nodes[node].children = [:] }
        }
        self.nodes = nodes
    }

    /// The node of a path, made with its parents as implied folders where it is missing.
    private static func node(_ path: [UInt8], _ nodes: inout [Node]) -> Int {
        var node = root
        var end = path.startIndex
        while end < path.endIndex {
            let start = end == path.startIndex ? end : end + 1
            end = path[start...].firstIndex(of: UInt8(ascii: "/")) ?? path.endIndex
            let name = Array(path[start..<end])
            if let child = nodes[node].children[name] {
                node = child
            } else {
                if nodes[node].entry.kind != .directory {
                    let wasWhiteout = nodes[node].entry.kind == .whiteout
                    nodes[node].entry = LayerEntry(path: nodes[node].entry.path, kind: .directory, permissions: 0o755)
                    nodes[node].isDescribed = false
                    nodes[node].isOpaque = wasWhiteout
                }
                nodes.append(
                    Node(
                        entry: LayerEntry(path: Array(path[..<end]), kind: .directory, permissions: 0o755),
                        isDescribed: false))
                nodes[node].children[name] = nodes.count - 1
                node = nodes.count - 1
            }
        }
        return node
    }

    /// The node as `stat` would tell it: the device is 0, the inode the node's number.
    func status(of node: Int) -> FileStatus {
        let entry = nodes[node].entry
        var kind = FileStatus.Kind.file
        var size: Int64 = 0
        var device = DeviceNumber(major: 0, minor: 0)
        switch entry.kind {
        case .file(let bytes): size = bytes
        case .directory: kind = .directory
        case .symlink(let target): (kind, size) = (.symlink, Int64(target.count))
        case .characterDevice(let number): (kind, device) = (.characterDevice, number)
        case .blockDevice(let number): (kind, device) = (.blockDevice, number)
        case .fifo: kind = .fifo
        // A whiteout is asked for as such; a hard link became what it points to.
        case .whiteout, .opaqueMarker, .hardLink: break
        }
        return FileStatus(
            described: kind, permissions: entry.permissions, uid: entry.uid, gid: entry.gid, size: size,
            modified: entry.modified, inode: UInt64(node), node: device)
    }
}
