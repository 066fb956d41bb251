/// The `# key=value` lines at the very top of a Dockerfile.
package struct ParserDirectives: Hashable, Sendable {
    /// The front end that the author asks for. imgbuild is the front end, so this is for a message at most.
    package var syntax: Word?
    /// `\` or a backtick: continues lines and escapes in words.
    package var escape: Character = "\\"
    /// Which lints the author wants, as written.
    package var check: Word?

    /// How many physical lines hold directives.
    private(set) var lineCount = 0

    /// The escape character as a byte.
    package var escapeByte: UInt8 { escape == "`" ? UInt8(ascii: "`") : .backslash }

    package init() {}

    /// - Throws: for a directive given twice, or an escape character that is neither `\` nor a backtick.
    init(_ source: SourceText) throws(DockerfileError) {
        var seen: Set<String> = []
        // The first line that is no known directive ends them for good, be it blank or a plain comment.
        while lineCount < source.lineCount, let (key, value) = Self.directive(source, lineCount) {
            guard seen.insert(key).inserted else {
                throw DockerfileError("the directive '\(key)' is given twice", at: value.range)
            }
            switch key {
            case "syntax": syntax = value
            case "check": check = value
            default:
                guard value.text == "\\" || value.text == "`" else {
                    throw DockerfileError(
                        "the escape character cannot be '\(value.text)'", at: value.range,
                        hint: "only \\ and ` (a backtick) may be it")
                }
                escape = Character(value.text)
            }
            lineCount += 1
        }
    }

    private static func directive(_ source: SourceText, _ index: Int) -> (key: String, value: Word)? {
        var line = LogicalLine(fixedRange: nil)
        line.append(source.bytes[source.trimmedLine(index)], at: SourcePosition(line: index + 1, column: 1))
        let content = line.trimmed(0..<line.bytes.count)
        guard !content.isEmpty, line.bytes[content.lowerBound] == UInt8(ascii: "#") else { return nil }
        guard let sign = content.first(where: { line.bytes[$0] == UInt8(ascii: "=") }) else { return nil }
        let key = line.text(line.trimmed((content.lowerBound + 1)..<sign)).lowercased()
        guard ["syntax", "escape", "check"].contains(key) else { return nil }
        let value = line.trimmed((sign + 1)..<content.upperBound)
        return value.isEmpty ? nil : (key, line.word(value))
    }
}
