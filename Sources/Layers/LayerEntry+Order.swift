// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts

extension LayerEntry {
    /// How names of deletions begin in a layer: no file of a user can.
    package static let whiteoutPrefix = Array(".wh.".utf8)
    private static let opaqueName = Array(".wh..wh..opq".utf8)
    private static let slash = UInt8(ascii: "/")

    /// The name in the tar: a folder's ends with a slash (the root's is `./`), a deletion's last component with its marker.
    package var tarName: [UInt8] {
        switch kind {
        case .directory: (path.isEmpty ? [UInt8(ascii: ".")] : path) + [LayerEntry.slash]
        case .opaqueMarker: path.isEmpty ? LayerEntry.opaqueName : path + [LayerEntry.slash] + LayerEntry.opaqueName
        case .whiteout:
            path[..<nameStart] + LayerEntry.whiteoutPrefix + path[nameStart...]
        default: path
        }
    }

    /// Where the last component begins.
    private var nameStart: Int {
        path.lastIndex(of: LayerEntry.slash).map { $0 + 1 } ?? 0
    }

    /// The canonical order of a layer: component by component as bytes, so that a folder comes before what is in it and all of that
    /// before the folder's next sibling. In each folder the opaque marker comes first, then deletions, then the rest.
    package func precedes(_ other: LayerEntry) -> Bool {
        // Whole components that both have in front decide nothing.
        let same = path.withUnsafeBufferPointer { mine in
            other.path.withUnsafeBufferPointer { theirs in LayerEntry.sameLength(mine, theirs) }
        }
        if !isMarker, !other.isMarker {
            // Files alone: a name that ends comes before one that goes on, and one that goes on below it before its siblings.
            guard same < other.path.count else { return false }
            guard same < path.count else { return true }
            guard path[same] != LayerEntry.slash, other.path[same] != LayerEntry.slash else {
                return path[same] == LayerEntry.slash
            }
            return path[same] < other.path[same]
        }
        let start = path[..<same].lastIndex(of: LayerEntry.slash).map { $0 + 1 } ?? 0
        var rest = path[start...]
        var otherRest = other.path[start...]
        while true {
            let component = rest.prefix { $0 != LayerEntry.slash }
            let otherComponent = otherRest.prefix { $0 != LayerEntry.slash }
            let mine = rank(rest: rest, component: component)
            let theirs = other.rank(rest: otherRest, component: otherComponent)
            guard mine == theirs else { return mine < theirs }
            guard mine != .end, mine != .opaque else { return false }
            guard component.elementsEqual(otherComponent) else {
                return component.lexicographicallyPrecedes(otherComponent)
            }
            rest = rest[component.endIndex...].dropFirst()
            otherRest = otherRest[otherComponent.endIndex...].dropFirst()
        }
    }

    /// How many bytes both have in front.
    private static func sameLength(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Int {
        let limit = min(a.count, b.count)
        var index = 0
        while index < limit, a[index] == b[index] { index += 1 }
        return index
    }

    /// Whether it deletes, and so does not stand where its name says.
    private var isMarker: Bool {
        switch kind {
        case .whiteout, .opaqueMarker: true
        default: false
        }
    }

    /// What stands in a folder, in order. `end` is the folder itself.
    private enum Rank: Int, Comparable {
        case end, opaque, whiteout, file

        static func < (a: Rank, b: Rank) -> Bool { a.rawValue < b.rawValue }
    }

    private func rank(rest: ArraySlice<UInt8>, component: ArraySlice<UInt8>) -> Rank {
        if rest.isEmpty { return kind == .opaqueMarker ? .opaque : .end }
        return kind == .whiteout && component.endIndex == path.endIndex ? .whiteout : .file
    }

    /// Why the entry cannot stand in a layer; `nil` when it can.
    package var flaw: String? {
        let mayBeRoot = kind == .directory || kind == .opaqueMarker
        if !(path.isEmpty && mayBeRoot), let flaw = LayerEntry.flaw(ofPath: path) { return flaw }
        switch kind {
        case .file(let size) where size < 0: return "its size is negative"
        case .symlink(let target) where target.isEmpty || target.contains(0): return "its target is no path"
        case .hardLink(let target):
            if let flaw = LayerEntry.flaw(ofPath: target) { return "its target cannot be linked to: \(flaw)" }
            guard LayerEntry(path: target, kind: .fifo).precedes(self) else {
                return "it links to a file that does not come before it in the layer"
            }
        default: break
        }
        guard permissions <= 0o7777 else { return "its permissions have more than 12 bits" }
        return nil
    }

    private static func flaw(ofPath path: [UInt8]) -> String? {
        path.withUnsafeBufferPointer { bytes in
            var start = 0
            for index in 0...bytes.count {
                if index < bytes.count {
                    guard bytes[index] != 0 else { return "its name has a NUL byte" }
                    guard bytes[index] == slash else { continue }
                }
                let component = UnsafeBufferPointer(rebasing: bytes[start..<index])
                if let flaw = flaw(ofComponent: component) { return flaw }
                start = index + 1
            }
            return nil
        }
    }

    private static func flaw(ofComponent component: UnsafeBufferPointer<UInt8>) -> String? {
        guard let first = component.first else { return "its name is not a plain relative path" }
        // Most names begin with something else, and are looked at no further.
        guard first == UInt8(ascii: ".") else { return nil }
        guard !component.elementsEqual(".".utf8), !component.elementsEqual("..".utf8) else {
            return "its name is not a plain relative path"
        }
        guard !component.starts(with: whiteoutPrefix) else {
            return "a name that begins with '.wh.' cannot be put in an image: layers keep such names for deletions"
        }
        return nil
    }
}
