/// Why a Dockerfile, or an ignore file, cannot be used: what, where, and what to do about it.
package struct DockerfileError: Error, Hashable, Sendable {
    /// One sentence without the place and without a full stop.
    package var message: String
    /// Where the fault is; `nil` if it is in no particular line (an unknown target, an empty file).
    package var range: SourceRange?
    /// What the author may want to do instead.
    package var hint: String?

    package init(_ message: String, at range: SourceRange? = nil, hint: String? = nil) {
        self.message = message
        self.range = range
        self.hint = hint
    }
}

extension DockerfileError: CustomStringConvertible {
    /// The place, the message and the hint in one line, for a log that has no excerpt.
    package var description: String {
        var text = message
        if let range { text = "line \(range.start.line): \(text)" }
        if let hint { text += " (\(hint))" }
        return text
    }
}
