/// A file written out in the Dockerfile: `<<NAME` in an instruction, the body in the lines after it.
package struct Heredoc: Hashable, Sendable {
    /// The word after `<<`, without quotes: the terminator, and the name of the file.
    package var name: String
    /// The body. With `<<-`, without the tabs that lead its lines.
    package var contents: String
    /// Whether variables in the body are replaced by COPY and ADD: false if any part of the word was quoted.
    package var expands: Bool
    /// Where the word stands.
    package var range: SourceRange
}

/// A `<<NAME` found in an instruction whose body is not read yet.
struct HeredocWord {
    var name: String
    /// `<<-`: tabs that lead the lines of the body do not count.
    var stripsTabs: Bool
    var expands: Bool
    var range: SourceRange
    var offsets: Range<Int>
}

extension HeredocWord {
    /// The heredocs of an instruction's arguments in order. None if quotes do not match, as in Docker's parser.
    static func all(in line: LogicalLine, _ offsets: Range<Int>) -> [HeredocWord] {
        // Most instructions have none: look for "<<" before cutting words.
        let bytes = line.bytes
        guard offsets.dropLast().contains(where: { bytes[$0] == UInt8(ascii: "<") && bytes[$0 + 1] == bytes[$0] })
        else { return [] }
        guard let words = ShellWords.split(line, offsets) else { return [] }
        return words.compactMap { HeredocWord(line, $0) }
    }

    /// The heredoc that these offsets spell as a whole: digits, `<<`, perhaps `-`, blanks, one word; `nil` if they do not.
    init?(_ line: LogicalLine, _ offsets: Range<Int>) {
        let bytes = line.bytes
        var start = offsets.lowerBound
        while start < offsets.upperBound, bytes[start].isDigit { start += 1 }
        guard start + 2 < offsets.upperBound, bytes[start] == UInt8(ascii: "<"), bytes[start + 1] == bytes[start]
        else { return nil }
        start += 2
        let stripsTabs = bytes[start] == UInt8(ascii: "-")
        if stripsTabs { start += 1 }
        let name = line.trimmed(start..<offsets.upperBound)
        guard !name.isEmpty, !bytes[name].contains(UInt8(ascii: "<")) else { return nil }
        guard ShellWords.split(line, name)?.count == 1, let unquoted = ShellWords.unquote(bytes[name]) else {
            return nil
        }
        // A quoted empty name would end at the first empty line; nobody means that.
        guard !unquoted.text.isEmpty else { return nil }
        self.init(
            name: String(decoding: unquoted.text, as: UTF8.self), stripsTabs: stripsTabs,
            expands: !unquoted.hadQuotes, range: line.range(offsets), offsets: offsets)
    }
}

/// Cuts a command line where a shell would, without replacing anything. The escape character is always `\` here.
enum ShellWords {
    /// The words between blanks, quotes and `${...}` kept together, and `<<` kept with the word after it;
    /// `nil` if a quote or brace is not closed.
    static func split(_ line: LogicalLine, _ offsets: Range<Int>) -> [Range<Int>]? {
        let bytes = line.bytes
        var words: [Range<Int>] = []
        var start: Int?
        var index = offsets.lowerBound
        var braces = 0
        while index < offsets.upperBound {
            let byte = bytes[index]
            if byte.isBlank, braces == 0 {
                if let begun = start { words.append(begun..<index) }
                start = nil
                index += 1
                continue
            }
            if start == nil { start = index }
            switch byte {
            case .backslash:
                index += 2
            case .singleQuote, .doubleQuote:
                guard let end = endOfQuote(bytes, index, offsets.upperBound) else { return nil }
                index = end
            case UInt8(ascii: "$") where index + 1 < offsets.upperBound && bytes[index + 1] == UInt8(ascii: "{"):
                braces += 1
                index += 2
            case UInt8(ascii: "}") where braces > 0:
                braces -= 1
                index += 1
            case UInt8(ascii: "<") where index + 1 < offsets.upperBound && bytes[index + 1] == byte:
                index += 2
                if index < offsets.upperBound, bytes[index] == UInt8(ascii: "-") { index += 1 }
                while index < offsets.upperBound, bytes[index].isBlank { index += 1 }
            default:
                index += 1
            }
        }
        guard braces == 0 else { return nil }
        if let begun = start { words.append(begun..<offsets.upperBound) }
        return words
    }

    private static func endOfQuote(_ bytes: [UInt8], _ start: Int, _ limit: Int) -> Int? {
        var index = start + 1
        while index < limit {
            if bytes[index] == bytes[start] { return index + 1 }
            index += bytes[index] == .backslash && bytes[start] == .doubleQuote ? 2 : 1
        }
        return nil
    }

    /// A word without its quotes and escapes; `nil` if a quote is not closed.
    static func unquote(_ word: ArraySlice<UInt8>) -> (text: [UInt8], hadQuotes: Bool)? {
        var text: [UInt8] = []
        var hadQuotes = false
        var quote: UInt8?
        var index = word.startIndex
        while index < word.endIndex {
            let byte = word[index]
            index += 1
            if let open = quote {
                if byte == open {
                    quote = nil
                } else if byte == .backslash, open == .doubleQuote, index < word.endIndex,
                    [.doubleQuote, .backslash, UInt8(ascii: "$")].contains(word[index])
                {
                    text.append(word[index])
                    index += 1
                } else {
                    text.append(byte)
                }
            } else if byte == .singleQuote || byte == .doubleQuote {
                quote = byte
                hadQuotes = true
            } else if byte == .backslash {
                guard index < word.endIndex else { break }
                text.append(word[index])
                index += 1
            } else {
                text.append(byte)
            }
        }
        return quote == nil ? (text, hadQuotes) : nil
    }
}
