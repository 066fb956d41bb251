/// The lines around a fault, with a caret under it, as people read it:
///
///     Dockerfile:12: COPY failed: 'dist/' is not in the build context
///       11 | WORKDIR /app
///     > 12 | COPY dist/ ./
///          |      ^^^^^
///     hint: it is excluded by line 3 of .dockerignore ("dist")
package enum SourceExcerpt {
    /// Characters of a source line that are shown; a longer line is cut around the fault.
    private static let width = 160
    /// Lines of the fault that are shown, at most.
    private static let height = 5

    /// The whole report of an error in the file `name`, without a newline at the end. Message and hint are one line each.
    package static func report(_ error: DockerfileError, in source: SourceText?, name: String) -> String {
        var lines: [String] = []
        let message = printable(error.message)
        if let range = error.range {
            lines.append("\(name):\(range.start.line): \(message)")
            if let source { lines += excerpt(around: range, in: source) }
        } else {
            lines.append("\(name): \(message)")
        }
        if let hint = error.hint { lines.append("hint: \(printable(hint))") }
        return lines.joined(separator: "\n")
    }

    /// Characters of a message: what a Dockerfile of unknown origin puts into one is cut there.
    private static let messageLength = 2000

    /// A message or hint as one line that a terminal shows as it is: control characters become `\xNN`, and what is too
    /// long is cut in the middle.
    package static func printable(_ text: String) -> String {
        var text = text
        if text.unicodeScalars.count > messageLength {
            let half = messageLength / 2
            text = String(text.unicodeScalars.prefix(half)) + " ... " + String(text.unicodeScalars.suffix(half))
        }
        guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            if scalar.properties.generalCategory == .control {
                let digits = String(scalar.value, radix: 16)
                result += "\\x" + (digits.utf8.count < 2 ? "0" : "") + digits
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// The line before the fault, the lines of the fault marked with `>`, and a caret if the fault lies in one line.
    package static func excerpt(around range: SourceRange, in source: SourceText) -> [String] {
        let first = range.start.line
        let last = min(max(first, range.end.line), first + height - 1, source.lineCount)
        guard first >= 1, first <= last else { return [] }
        let digits = String(last).count
        var result: [String] = []
        for number in max(1, first - 1)...last {
            guard let text = source.text(ofLine: number) else { continue }
            // Of a long line, the part with the fault is shown.
            let focus = number == first ? prefixLength(of: text, bytes: range.start.column - 1) : 0
            let window = window(of: text, around: focus)
            let label = String(repeating: " ", count: digits - String(number).count) + String(number)
            result.append("\(number >= first ? ">" : " ") \(label) | \(window.text)")
            if number == first, range.end.line == first, range.end.column > range.start.column {
                let marked = prefixLength(of: text, bytes: range.end.column - 1) - focus
                let pad = window.text.prefix(focus - window.start).map { $0 == "\t" ? "\t" : " " }.joined()
                let carets = String(repeating: "^", count: max(1, min(marked, width)))
                result.append("  \(String(repeating: " ", count: digits)) | \(pad)\(carets)")
            }
        }
        return result
    }

    /// How many characters the first `bytes` bytes of a text hold.
    private static func prefixLength(of text: String, bytes: Int) -> Int {
        String(decoding: text.utf8.prefix(max(0, bytes)), as: UTF8.self).count
    }

    /// The part of a line that is shown, control characters made harmless, and the index of its first character.
    private static func window(of text: String, around focus: Int) -> (text: String, start: Int) {
        let start = focus < width / 2 ? 0 : focus - width / 4
        let shown = text.dropFirst(start).prefix(width).map { character in
            // A terminal must not obey what a Dockerfile of unknown origin contains.
            let isControl = character.unicodeScalars.contains { $0.properties.generalCategory == .control }
            return isControl && character != "\t" ? "\u{FFFD}" : character
        }
        return (String(shown), start)
    }
}
