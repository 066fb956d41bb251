// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts

/// What a name in a layer's tar means when it begins with `.wh.`.
enum WhiteoutName: Hashable {
    /// The path of the deleted name.
    case whiteout([UInt8])
    /// The path of the folder, empty for the root.
    case opaqueMarker([UInt8])
    /// AUFS's own notes (`.wh..wh.plnk`, `.wh..wh.aufs`) and what is below them: no part of the image.
    case bookkeeping
    case invalid

    static let prefix = Array(".wh.".utf8)
    private static let metaPrefix = Array(".wh..wh.".utf8)
    private static let opaque = Array(".wh..wh..opq".utf8)

    /// `nil` for an ordinary name.
    init?(_ path: [UInt8]) {
        // Almost every name is ordinary: look for the dot first.
        guard path.contains(UInt8(ascii: ".")) else { return nil }
        let components = path.split(separator: UInt8(ascii: "/"))
        guard let last = components.last else { return nil }
        for folder in components.dropLast() where folder.starts(with: WhiteoutName.prefix) {
            self = folder.starts(with: WhiteoutName.metaPrefix) ? .bookkeeping : .invalid
            return
        }
        guard last.starts(with: WhiteoutName.prefix) else { return nil }
        let folder = path[..<max(0, last.startIndex - 1)]
        if last.elementsEqual(WhiteoutName.opaque) {
            self = .opaqueMarker(Array(folder))
        } else if last.starts(with: WhiteoutName.metaPrefix) {
            self = .bookkeeping
        } else {
            let name = last.dropFirst(WhiteoutName.prefix.count)
            guard !name.isEmpty, !name.elementsEqual(".".utf8), !name.elementsEqual("..".utf8) else {
                self = .invalid
                return
            }
            self = .whiteout(folder.isEmpty ? Array(name) : folder + [UInt8(ascii: "/")] + name)
        }
    }
}
