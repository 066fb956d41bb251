/// A logical line cut into keyword, flags and arguments.
struct Statement {
    let line: LogicalLine
    /// The keyword in capitals.
    let keyword: String
    let keywordOffsets: Range<Int>
    let flags: [Flag]
    /// The rest, without blanks at both ends. Empty if there is none.
    let arguments: Range<Int>
    let escape: UInt8

    /// A word that starts with `--`, quotes and escapes removed.
    struct Flag {
        /// Without the dashes.
        var name: String
        /// What stands behind `=`; `nil` without one.
        var value: Word?
        var range: SourceRange
    }

    /// Cuts the line from the offset `start`, where the keyword begins, blanks before it allowed.
    init(_ line: LogicalLine, from start: Int = 0, escape: UInt8) {
        let all = line.trimmed(start..<line.bytes.count)
        var end = all.lowerBound
        while end < all.upperBound, !line.bytes[end].isBlank { end += 1 }
        self.line = line
        self.escape = escape
        keywordOffsets = all.lowerBound..<end
        keyword = line.text(keywordOffsets).uppercased()
        var rest = line.trimmed(end..<all.upperBound)
        flags = Self.takeFlags(line, &rest, escape: escape)
        arguments = rest
    }

    /// The whole statement.
    var range: SourceRange {
        line.range(keywordOffsets.lowerBound..<max(keywordOffsets.upperBound, arguments.upperBound))
    }
    var keywordRange: SourceRange { line.range(keywordOffsets) }
    /// The statement as written, in one line.
    var original: String {
        line.text(keywordOffsets.lowerBound..<line.trimmed(0..<line.bytes.count).upperBound)
    }
    /// The arguments as written.
    var argumentText: String { line.text(arguments) }

    func fault(_ message: String, hint: String? = nil) -> DockerfileError {
        DockerfileError("\(keyword): \(message)", at: range, hint: hint)
    }

    private static func takeFlags(_ line: LogicalLine, _ rest: inout Range<Int>, escape: UInt8) -> [Flag] {
        var flags: [Flag] = []
        let dash = UInt8(ascii: "-")
        while rest.count >= 2, line.bytes[rest.lowerBound] == dash, line.bytes[rest.lowerBound + 1] == dash {
            let (offsets, text) = flagWord(line, rest, escape: escape)
            rest = line.trimmed(offsets.upperBound..<rest.upperBound)
            // A bare "--" ends the flags.
            if text == [dash, dash] { break }
            let parts = text.dropFirst(2).split(
                separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            var value: Word?
            if parts.count == 2 {
                // Without quotes the value can be pointed at; with them, the flag.
                let isPlain = text.count == offsets.count
                let valueOffsets = isPlain ? (offsets.upperBound - parts[1].count)..<offsets.upperBound : offsets
                value = Word(String(decoding: parts[1], as: UTF8.self), range: line.range(valueOffsets))
            }
            let name = String(decoding: parts.first ?? [], as: UTF8.self)
            flags.append(Flag(name: name, value: value, range: line.range(offsets)))
        }
        return flags
    }

    /// One flag: up to the next blank outside quotes, quotes and escapes removed.
    private static func flagWord(_ line: LogicalLine, _ rest: Range<Int>, escape: UInt8) -> (Range<Int>, [UInt8]) {
        var text: [UInt8] = []
        var quote: UInt8?
        var index = rest.lowerBound
        while index < rest.upperBound {
            let byte = line.bytes[index]
            if byte == escape {
                index += 1
                if index < rest.upperBound { text.append(line.bytes[index]) }
            } else if let open = quote {
                if byte == open { quote = nil } else { text.append(byte) }
            } else if byte == .singleQuote || byte == .doubleQuote {
                quote = byte
            } else if byte.isBlank {
                break
            } else {
                text.append(byte)
            }
            index += 1
        }
        return (rest.lowerBound..<min(index, rest.upperBound), text)
    }
}

extension Statement {
    /// The arguments cut at blanks, quotes having no meaning.
    var blankSeparated: [Range<Int>] {
        var words: [Range<Int>] = []
        var start: Int?
        for offset in arguments {
            if line.bytes[offset].isBlank {
                if let begun = start { words.append(begun..<offset) }
                start = nil
            } else if start == nil {
                start = offset
            }
        }
        if let begun = start { words.append(begun..<arguments.upperBound) }
        return words
    }

    /// The arguments cut at blanks outside quotes; quotes and escapes stay in the words.
    var quotedWords: [Range<Int>] {
        var words: [Range<Int>] = []
        var start: Int?
        var quote: UInt8?
        var index = arguments.lowerBound
        while index < arguments.upperBound {
            let byte = line.bytes[index]
            if quote == nil, byte.isBlank {
                if let begun = start { words.append(begun..<index) }
                start = nil
            } else {
                if start == nil { start = index }
                if byte == escape, quote != .singleQuote {
                    index += 1
                } else if byte == quote {
                    quote = nil
                } else if quote == nil, byte == .singleQuote || byte == .doubleQuote {
                    quote = byte
                }
            }
            index += 1
        }
        if let begun = start { words.append(begun..<arguments.upperBound) }
        return words
    }

    /// The arguments as a JSON array of strings; `nil` if they are no valid JSON array.
    /// - Throws: if they are a JSON array with something else than strings in it, or a string holds a NUL.
    func jsonWords() throws(DockerfileError) -> [Word]? {
        try jsonWords(in: arguments)
    }

    func jsonWords(in offsets: Range<Int>) throws(DockerfileError) -> [Word]? {
        guard let elements = JSONArray.parse(line.bytes[offsets]) else { return nil }
        var words: [Word] = []
        for element in elements {
            guard let text = element.string else {
                throw DockerfileError(
                    "\(keyword): the JSON form may hold only strings", at: line.range(element.offsets),
                    hint: "write it in double quotes")
            }
            // No argument and no file name of Linux can hold one.
            guard !text.utf8.contains(0) else {
                throw DockerfileError("\(keyword): a string holds a NUL", at: line.range(element.offsets))
            }
            words.append(Word(text, range: line.range(element.offsets)))
        }
        return words
    }
}
