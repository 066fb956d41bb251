/// The comments that stand directly above an instruction, no empty line between.
struct CommentsAbove {
    /// Text behind `#` without blanks at both ends, from top to bottom.
    var lines: [(number: Int, text: String)] = []

    /// - Parameters:
    ///   - line: the instruction's first line, counted from 1.
    ///   - first: the first line that may be a comment, counted from 0: the parser directives are none.
    init(_ line: Int, in source: SourceText, from first: Int) {
        var index = line - 2
        while index >= first, index < source.lineCount {
            let content = source.bytes[source.trimmedLine(index)].drop(while: \.isBlank)
            guard content.first == UInt8(ascii: "#") else { break }
            var text = content.dropFirst().drop(while: \.isBlank)
            while text.last?.isBlank == true { text.removeLast() }
            lines.append((index + 1, String(decoding: text, as: UTF8.self)))
            index -= 1
        }
        lines.reverse()
    }

    /// The `check=...` among them: what follows the sign.
    var directives: [(number: Int, value: Substring)] {
        lines.compactMap { number, text in
            guard text.utf8.count >= 6, let sign = text.firstIndex(of: "=") else { return nil }
            let key = text[..<sign].filter { !$0.isWhitespace }
            return key.lowercased() == "check" ? (number, text[text.index(after: sign)...]) : nil
        }
    }

    /// The last one, if it may be a description: it is neither empty nor a directive.
    var description: (number: Int, text: String)? {
        guard let last = lines.last, !last.text.isEmpty, directives.last?.number != last.number else { return nil }
        return last
    }
}
