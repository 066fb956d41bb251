/// Turns physical lines into logical ones: comments out, continuations joined, heredoc bodies taken on request.
struct Lexer {
    let source: SourceText
    /// The character that continues a line and escapes in words: `\`, or what the `escape` directive says.
    var escape: UInt8 = .backslash
    private let fixedRange: SourceRange?
    /// The next physical line to read, counted from 0.
    private(set) var next: Int
    /// The first empty line, counted from 1, within the continuations of the last instruction; `nil` if it has none.
    private(set) var emptyContinuation: Int?

    init(source: SourceText, startingAt line: Int = 0, fixedRange: SourceRange? = nil) {
        self.source = source
        self.next = line
        self.fixedRange = fixedRange
    }

    /// The next instruction, or `nil` at the end of the text.
    mutating func nextInstruction() -> LogicalLine? {
        emptyContinuation = nil
        while next < source.lineCount {
            let index = next
            next += 1
            let line = withoutLeadingBlanks(source.trimmedLine(index))
            if line.isEmpty || isComment(line) { continue }

            var logical = LogicalLine(fixedRange: fixedRange)
            guard append(line, of: index, to: &logical) else {
                if logical.trimmed(0..<logical.bytes.count).isEmpty { continue }
                return logical
            }
            joinContinuation(to: &logical)
            // A line of nothing but escape characters is no instruction.
            if logical.trimmed(0..<logical.bytes.count).isEmpty { continue }
            return logical
        }
        return nil
    }

    private mutating func joinContinuation(to logical: inout LogicalLine) {
        while next < source.lineCount {
            let index = next
            next += 1
            let line = source.trimmedLine(index)
            let content = withoutLeadingBlanks(line)
            // Comments and empty lines inside a continued instruction vanish and do not end it.
            if content.isEmpty {
                emptyContinuation = emptyContinuation ?? index + 1
                continue
            }
            if isComment(content) { continue }
            guard append(line, of: index, to: &logical) else { return }
        }
    }

    /// Appends a line without its continuation mark. Returns whether the next line belongs to it.
    private func append(_ line: Range<Int>, of index: Int, to logical: inout LogicalLine) -> Bool {
        let content = withoutContinuation(line)
        let column = line.lowerBound - source.line(index).lowerBound + 1
        logical.append(source.bytes[content ?? line], at: SourcePosition(line: index + 1, column: column))
        return content != nil
    }

    /// The line up to its continuation mark (the escape character, then only spaces and tabs); `nil` if it has none.
    /// A doubled escape character is no mark.
    private func withoutContinuation(_ line: Range<Int>) -> Range<Int>? {
        var end = line.upperBound
        while end > line.lowerBound, source.bytes[end - 1] == .space || source.bytes[end - 1] == .tab { end -= 1 }
        guard end > line.lowerBound, source.bytes[end - 1] == escape else { return nil }
        if end - 1 > line.lowerBound, source.bytes[end - 2] == escape { return nil }
        return line.lowerBound..<(end - 1)
    }

    private func withoutLeadingBlanks(_ line: Range<Int>) -> Range<Int> {
        var start = line.lowerBound
        while start < line.upperBound, source.bytes[start].isBlank { start += 1 }
        return start..<line.upperBound
    }

    private func isComment(_ content: Range<Int>) -> Bool {
        source.bytes[content.lowerBound] == UInt8(ascii: "#")
    }

    /// Takes the body of a heredoc, which starts at the next physical line, and steps behind its terminator.
    ///
    /// - Returns: the body as written, each line with its line ending.
    /// - Throws: if the text ends before the terminator.
    mutating func takeBody(of heredoc: HeredocWord) throws(DockerfileError) -> [UInt8] {
        let terminator = Array(heredoc.name.utf8)
        var body: [UInt8] = []
        while next < source.lineCount {
            let index = next
            next += 1
            var line = source.bytes[source.trimmedLine(index)]
            if heredoc.stripsTabs { line = line.drop { $0 == .tab } }
            if line.elementsEqual(terminator) { return body }
            let whole = source.line(index)
            body += source.bytes[whole]
            // The last line of a text may lack its newline.
            if whole.upperBound < source.bytes.count { body.append(.newline) }
        }
        throw DockerfileError(
            "the heredoc '\(heredoc.name)' is not terminated", at: heredoc.range,
            hint: "a line with nothing but \(heredoc.name) must end it")
    }
}
