/// Paths as the Dockerfile language computes with them: text, nothing looked up (Go's `path` package).
package enum PathText {
    /// The shortest equivalent path: no `.`, no `..` that something precedes, no doubled or trailing slash.
    /// Empty becomes `.`; `..` never leaves `/`.
    package static func cleaned(_ path: String) -> String {
        let isRooted = path.utf8.first == .slash
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part != ".." {
                parts.append(part)
            } else if let last = parts.last, last != ".." {
                parts.removeLast()
            } else if !isRooted {
                parts.append(part)
            }
        }
        let joined = parts.joined(separator: "/")
        return isRooted ? "/" + joined : joined.isEmpty ? "." : joined
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
