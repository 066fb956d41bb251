/// Paths as the Dockerfile language computes with them: text, nothing looked up (Go's `path` package).
package enum PathText {
    /// The shortest equivalent path: no `.`, no `..` that something precedes, no doubled or trailing slash.
    /// Empty becomes `.`; `..` never leaves `/`.
    package static func cleaned(_ path: String) -> String {
        isClean(path) ? path : String(decoding: cleaned(Array(path.utf8)), as: UTF8.self)
    }

    /// Whether nothing is there to clean, as in most paths. False for a path that only begins a component with a dot, too.
    private static func isClean(_ path: String) -> Bool {
        var before = UInt8.slash
        var isFirst = true
        for byte in path.utf8 {
            if before == .slash, byte == UInt8(ascii: ".") || (byte == .slash && !isFirst) { return false }
            before = byte
            isFirst = false
        }
        return before != .slash || path == "/"
    }

    /// As `cleaned(_:)`, for a name that need not be UTF-8.
    package static func cleaned(_ path: [UInt8]) -> [UInt8] {
        let isRooted = path.first == .slash
        let dot = UInt8(ascii: ".")
        var parts: [ArraySlice<UInt8>] = []
        for part in path.split(separator: .slash) where part != [dot] {
            if part != [dot, dot] {
                parts.append(part)
            } else if let last = parts.last, last != [dot, dot] {
                parts.removeLast()
            } else if !isRooted {
                parts.append(part)
            }
        }
        let joined = Array(parts.joined(separator: [.slash]))
        return isRooted ? [.slash] + joined : joined.isEmpty ? [dot] : joined
    }

    /// `path` seen from the directory `base`, cleaned.
    package static func joined(_ base: String, _ path: String) -> String {
        cleaned(path.utf8.first == .slash ? path : base + "/" + path)
    }

    /// What follows the last slash of the cleaned path.
    package static func lastComponent(_ path: String) -> String {
        let cleaned = cleaned(path)
        return cleaned.split(separator: "/").last.map(String.init) ?? cleaned
    }
}
