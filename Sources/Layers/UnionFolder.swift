import Glibc
import SystemIO
import SystemPackage

/// One folder of a `UnionTree`, open in all trees whose folders of that path are merged.
final class UnionFolder: Sendable {
    struct Member: Sendable {
        enum Place: Sendable {
            case directory(Directory)
            case index(LayerIndex, node: Int)
        }
        let layer: Int
        let place: Place
    }

    /// A name that exists here.
    struct Found {
        let node: UnionTree.Node
        /// For a folder: the members (by their place in `members`) that have it as one, the topmost first.
        let members: [Int]
    }

    /// All trees of the view, the topmost first.
    let layers: [TreeLayer]
    let path: [UInt8]
    let members: [Member]
    let node: UnionTree.Node

    private init(layers: [TreeLayer], members: [Member], node: UnionTree.Node) {
        self.layers = layers
        path = node.path
        self.members = members
        self.node = node
    }

    /// The root: all trees, down to one whose root is opaque.
    convenience init(rootOf layers: [TreeLayer]) {
        var members: [Member] = []
        // The root's attributes, and whose they are.
        var top: (status: FileStatus, layer: Int)?
        for (layer, tree) in layers.enumerated() {
            switch tree {
            case .plain(let directory), .overlay(let directory):
                members.append(Member(layer: layer, place: .directory(directory)))
                if top == nil, let status = try? directory.descriptor.status() { top = (status, layer) }
            case .entries(let index):
                members.append(Member(layer: layer, place: .index(index, node: LayerIndex.root)))
                // A layer whose root is only implied leaves the root's attributes to the ones below.
                if top == nil, index.isDescribed(LayerIndex.root) {
                    top = (index.status(of: LayerIndex.root), layer)
                }
            }
            if UnionFolder.isOpaque(members[members.count - 1], in: layers) { break }
        }
        let first = members.first?.layer ?? 0
        self.init(
            layers: layers, members: members,
            node: UnionTree.Node(
                path: [], status: top?.status ?? LayerIndex.empty.status(of: LayerIndex.root),
                layer: top?.layer ?? first)
        )
    }

    /// What a tree has under a name.
    private enum Trace {
        case nothing, whiteout
        case present(FileStatus)
    }

    /// What the stack has under a name, `nil` where nothing is visible.
    func lookUp(_ name: [UInt8]) throws(SystemError) -> Found? {
        var top: (status: FileStatus, layer: Int, isImplied: Bool)?
        var found: [Int] = []
        search: for (position, member) in members.enumerated() {
            switch try trace(name, in: member) {
            case .nothing: continue
            case .whiteout: break search
            case .present(let status):
                guard status.kind == .directory else {
                    if top == nil { top = (status, member.layer, false) }
                    break search
                }
                // An implied folder of an index says nothing of attributes: those of the folder below hold.
                if top?.isImplied ?? true { top = (status, member.layer, isImplied(name, in: member)) }
                found.append(position)
                if position + 1 < members.count, try isOpaque(name, in: member) { break search }
            }
        }
        guard let top else { return nil }
        let path = path.isEmpty ? name : self.path + [UInt8(ascii: "/")] + name
        return Found(node: UnionTree.Node(path: path, status: top.status, layer: top.layer), members: found)
    }

    /// Opens a folder that `lookUp` found; `nil` when it is none.
    func openFolder(_ found: Found) throws(SystemError) -> UnionFolder? {
        guard found.node.status.kind == .directory else { return nil }
        let name = found.node.path.lastComponent
        var opened: [Member] = []
        for position in found.members {
            let member = members[position]
            switch member.place {
            case .directory(let directory):
                let folder = Directory(
                    taking: try directory.openName(name, O_RDONLY | O_DIRECTORY), path: FilePath(bytes: found.node.path)
                )
                opened.append(Member(layer: member.layer, place: .directory(folder)))
            case .index(let index, let node):
                guard let child = index.child(name, of: node) else { continue }
                opened.append(Member(layer: member.layer, place: .index(index, node: child)))
            }
        }
        return UnionFolder(layers: layers, members: opened, node: found.node)
    }

    /// All that is visible here, sorted bytewise.
    func children() throws(SystemError) -> [UnionTree.Node] {
        var names: [[UInt8]] = []
        for member in members {
            switch member.place {
            case .directory(let directory): names.append(contentsOf: try directory.sortedNames().map(\.bytes))
            case .index(let index, let node): names.append(contentsOf: index.nodes[node].children.keys)
            }
        }
        if members.count > 1 { names = Array(Set(names)) }
        names.sort { $0.lexicographicallyPrecedes($1) }
        var children: [UnionTree.Node] = []
        children.reserveCapacity(names.count)
        for name in names {
            if let found = try lookUp(name) { children.append(found.node) }
        }
        return children
    }

    /// The folder as each tree says it that has it.
    func merged() throws(SystemError) -> [UnionTree.Node] {
        var nodes: [UnionTree.Node] = []
        for member in members {
            let status =
                switch member.place {
                case .directory(let directory): try directory.descriptor.status()
                case .index(let index, let node): index.status(of: node)
                }
            nodes.append(UnionTree.Node(path: path, status: status, layer: member.layer))
        }
        return nodes
    }

    // MARK: One tree

    private func trace(_ name: [UInt8], in member: Member) throws(SystemError) -> Trace {
        switch member.place {
        case .directory(let directory):
            guard let status = try directory.statusIfPresent(ofName: name) else { return .nothing }
            if case .overlay = layers[member.layer], status.isOverlayWhiteout { return .whiteout }
            return .present(status)
        case .index(let index, let node):
            guard let child = index.child(name, of: node) else { return .nothing }
            return index.isWhiteout(child) ? .whiteout : .present(index.status(of: child))
        }
    }

    private func isImplied(_ name: [UInt8], in member: Member) -> Bool {
        guard case .index(let index, let node) = member.place, let child = index.child(name, of: node) else {
            return false
        }
        return !index.isDescribed(child)
    }

    private func isOpaque(_ name: [UInt8], in member: Member) throws(SystemError) -> Bool {
        switch member.place {
        case .directory(let directory):
            guard case .overlay = layers[member.layer] else { return false }
            return try UnionFolder.hasOpaqueAttribute(directory, name)
        case .index(let index, let node):
            guard let child = index.child(name, of: node) else { return false }
            return index.nodes[child].isOpaque
        }
    }

    private static func isOpaque(_ root: Member, in layers: [TreeLayer]) -> Bool {
        switch root.place {
        // Overlayfs knows no opaque root.
        case .directory: false
        case .index(let index, let node): index.nodes[node].isOpaque
        }
    }

    static func hasOpaqueAttribute(_ directory: Directory, _ name: [UInt8]) throws(SystemError) -> Bool {
        try directory.attributes(ofName: name).contains { attribute in
            (attribute.name == TreeConvention.AttributeNamespace.trusted.opaque
                || attribute.name == TreeConvention.AttributeNamespace.user.opaque)
                && attribute.value == [UInt8(ascii: "y")]
        }
    }
}
