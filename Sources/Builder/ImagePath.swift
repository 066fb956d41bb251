/// A place inside an image: components without `.`, `..` and empty ones, relative to the image's root.
///
/// Bytes, as file names are. Making one never looks at a file system: symlinks are the affair of `LayerPlan.resolve`.
struct ImagePath: Hashable, Sendable {
    private(set) var bytes: [UInt8]

    static let root = ImagePath(clean: [])

    private init(clean bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// In one piece: an array hashes its bytes one by one.
    func hash(into hasher: inout Hasher) {
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    }

    /// Cleans a path as if it stood below the root: `..` stops there.
    init(cleaning path: some Collection<UInt8>, below base: ImagePath = .root) {
        var clean = path.first == UInt8(ascii: "/") ? [] : base.bytes
        for component in path.split(separator: UInt8(ascii: "/")) {
            if component.elementsEqual([UInt8(ascii: ".")]) { continue }
            if component.elementsEqual([UInt8(ascii: "."), UInt8(ascii: ".")]) {
                clean = Array(clean[..<(clean.lastIndex(of: UInt8(ascii: "/")) ?? 0)])
                continue
            }
            if !clean.isEmpty { clean.append(UInt8(ascii: "/")) }
            clean.append(contentsOf: component)
        }
        bytes = clean
    }

    init(cleaning path: String, below base: ImagePath = .root) {
        self.init(cleaning: Array(path.utf8), below: base)
    }

    /// Takes bytes that are clean already, as a tree's walk or a layer's entry gives them.
    init(trusting bytes: [UInt8]) {
        self.bytes = bytes
    }

    var isRoot: Bool { bytes.isEmpty }

    var components: [ArraySlice<UInt8>] {
        bytes.split(separator: UInt8(ascii: "/"))
    }

    /// The last component; empty for the root.
    var name: ArraySlice<UInt8> {
        bytes[(bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...]
    }

    /// The folder it is in; the root's is the root.
    var parent: ImagePath {
        ImagePath(clean: Array(bytes[..<(bytes.lastIndex(of: UInt8(ascii: "/")) ?? 0)]))
    }

    /// Every folder above it but the root, outermost first.
    var ancestors: [ImagePath] {
        bytes.indices.filter { bytes[$0] == UInt8(ascii: "/") }.map { ImagePath(clean: Array(bytes[..<$0])) }
    }

    /// A path below this one; `relative` is clean.
    func appending(_ relative: some Collection<UInt8>) -> ImagePath {
        if relative.isEmpty { return self }
        return ImagePath(clean: bytes.isEmpty ? Array(relative) : bytes + [UInt8(ascii: "/")] + relative)
    }

    /// The path below `base`, which must be an ancestor or the path itself.
    func relative(to base: ImagePath) -> ArraySlice<UInt8> {
        base.isRoot ? bytes[...] : bytes.dropFirst(base.bytes.count + 1)
    }

    /// `/usr/bin/env`, for configs; names that are not UTF-8 cannot stand there and are repaired.
    var absolute: String { "/" + text }

    /// As `absolute`, without the slash before it; empty for the root.
    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// A path in a context as messages show it: the context itself is `.`.
    var relativeText: String { isRoot ? "." : text }
}
