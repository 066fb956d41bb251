/// The bytes of a Dockerfile, cut into physical lines.
///
/// Holds valid UTF-8 without NUL and without a byte order mark, within `Limits`. What is made of it is bounded by them, too:
/// parsing takes time and memory linear in the text, and expansion has bounds of its own (`WordExpansion.Limits`,
/// `StageScope.maximumSize`).
package struct SourceText: Sendable {
    package enum Limits {
        /// Bytes of a whole Dockerfile. Far above any real one (heredocs included), low enough to parse at once.
        package static let file = 4 << 20
        /// Stages of a Dockerfile: a hundred times what the largest known ones have. Each is a tree of its own in a build.
        package static let stages = 10_000
        /// Bytes of one physical line: the bound of Docker's own parser.
        package static let line = 65535
    }

    let bytes: [UInt8]
    /// Where each line starts; one more entry than lines, for the end of the text.
    private let starts: [Int]

    /// - Throws: if the text is too long, has too long a line, is not UTF-8, or holds a NUL.
    package init(_ text: [UInt8]) throws(DockerfileError) {
        guard text.count <= Limits.file else {
            throw DockerfileError(
                "the Dockerfile has \(text.count) bytes; at most \(Limits.file) are read",
                hint: "is this file a Dockerfile?")
        }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let bytes = text.starts(with: mark) ? Array(text.dropFirst(mark.count)) : text
        var starts = [0]
        for (offset, byte) in bytes.enumerated() where byte == .newline { starts.append(offset + 1) }
        if starts.last != bytes.count { starts.append(bytes.count) }
        self.bytes = bytes
        self.starts = starts

        for index in 0..<lineCount where line(index).count > Limits.line {
            throw DockerfileError(
                "the line has \(line(index).count) bytes; at most \(Limits.line) are allowed",
                at: SourceRange(line: index + 1), hint: "continue a long line with the escape character")
        }
        if String(validating: bytes, as: UTF8.self) == nil {
            let bad = (0..<lineCount).first { String(validating: bytes[line($0)], as: UTF8.self) == nil }
            throw DockerfileError("the Dockerfile is not UTF-8 text", at: bad.map { SourceRange(line: $0 + 1) })
        }
        // No name, no argument and no variable of Linux can hold one.
        if let place = bytes.firstIndex(of: 0) {
            let index = (starts.firstIndex { $0 > place } ?? starts.count) - 1
            let column = place - starts[index] + 1
            throw DockerfileError(
                "the line holds a NUL", at: SourceRange(line: index + 1, columns: column..<(column + 1)),
                hint: "a Dockerfile is a text in UTF-8")
        }
    }

    package var lineCount: Int { starts.count - 1 }

    /// The bytes of a line (counted from 0) without its newline, a carriage return before it included.
    func line(_ index: Int) -> Range<Int> {
        var end = starts[index + 1]
        if end > starts[index], bytes[end - 1] == .newline { end -= 1 }
        return starts[index]..<end
    }

    /// The bytes of a line without its line ending.
    func trimmedLine(_ index: Int) -> Range<Int> {
        let line = line(index)
        var end = line.upperBound
        while end > line.lowerBound, bytes[end - 1] == .carriageReturn { end -= 1 }
        return line.lowerBound..<end
    }

    /// The text of a line counted from 1, as people count; `nil` if there is no such line.
    package func text(ofLine number: Int) -> String? {
        guard number >= 1, number <= lineCount else { return nil }
        return String(decoding: bytes[trimmedLine(number - 1)], as: UTF8.self)
    }
}

extension UInt8 {
    static let tab = UInt8(ascii: "\t")
    static let newline = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
    static let space = UInt8(ascii: " ")
    static let backslash = UInt8(ascii: "\\")
    static let slash = UInt8(ascii: "/")
    static let singleQuote = UInt8(ascii: "'")
    static let doubleQuote = UInt8(ascii: "\"")

    /// Space, tab, newline, vertical tab, form feed, carriage return.
    var isBlank: Bool { self == .space || (0x09...0x0D).contains(self) }

    var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    var isLetter: Bool {
        let lower = self | 0x20
        return (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(lower)
    }
}
