// https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1

/// One way to authenticate that a server offers in `WWW-Authenticate`.
package struct Challenge: Hashable, Sendable {
    /// Lower case: `basic`, `bearer`.
    package let scheme: String
    /// Names in lower case; the first of equal names counts.
    package let parameters: [String: String]

    package init(scheme: String, parameters: [String: String]) {
        self.scheme = scheme
        self.parameters = parameters
    }

    /// Reads all challenges of all headers, forgiving what real servers get wrong: a scheme in quotes, missing commas, a
    /// missing closing quote, values without quotes. What cannot be read is left out.
    package static func parse(_ headers: [String]) -> [Challenge] {
        headers.flatMap { header in
            var parser = ChallengeParser(header)
            return parser.challenges()
        }
    }
}

/// Walks over one header value.
private struct ChallengeParser {
    private let bytes: [UInt8]
    private var index = 0

    init(_ text: String) {
        bytes = Array(text.utf8)
    }

    mutating func challenges() -> [Challenge] {
        var found: [Challenge] = []
        var scheme: String?
        var parameters: [String: String] = [:]
        func finished() -> [Challenge] {
            scheme.map { [Challenge(scheme: $0, parameters: parameters)] } ?? []
        }
        while true {
            skip { $0 == UInt8(ascii: ",") || ChallengeParser.isSpace($0) }
            guard index < bytes.count else { break }
            let start = index
            let word = peek == UInt8(ascii: "\"") ? quoted() : token()
            let afterWord = index
            skip(ChallengeParser.isSpace)
            if peek == UInt8(ascii: "="), scheme != nil, !word.isEmpty, isParameter(afterWord: afterWord) {
                index += 1
                skip(ChallengeParser.isSpace)
                let value = peek == UInt8(ascii: "\"") ? quoted() : bareValue()
                let name = word.lowercased()
                if parameters[name] == nil { parameters[name] = value }
            } else if word.isEmpty {
                // A character that starts nothing.
                index = max(index, start + 1)
            } else {
                found += finished()
                scheme = word.lowercased()
                parameters = [:]
                if peek == UInt8(ascii: "=") { index += 1 }
            }
        }
        return found + finished()
    }

    /// Tells a parameter from the padding of a token68, as in `Negotiate YWJj==`.
    private func isParameter(afterWord: Int) -> Bool {
        guard index + 1 < bytes.count else { return false }
        let next = bytes[index + 1]
        return next != UInt8(ascii: "=") && next != UInt8(ascii: ",")
    }

    private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func skip(_ matches: (UInt8) -> Bool) {
        while index < bytes.count, matches(bytes[index]) { index += 1 }
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
    }

    /// A value without quotes; wider than RFC 9110's token, since addresses come this way, too.
    private mutating func bareValue() -> String {
        let start = index
        skip { $0 != UInt8(ascii: ",") && !ChallengeParser.isSpace($0) }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    /// A scheme or a name, up to a separator.
    private mutating func token() -> String {
        let start = index
        skip {
            $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: "\"")
                && !ChallengeParser.isSpace($0)
        }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    /// A quoted string; the end of the header closes it if no quote does.
    private mutating func quoted() -> String {
        index += 1
        var content: [UInt8] = []
        while let byte = peek, byte != UInt8(ascii: "\"") {
            index += 1
            if byte == UInt8(ascii: "\\"), let escaped = peek {
                index += 1
                content.append(escaped)
            } else if byte != UInt8(ascii: "\\") {
                content.append(byte)
            }
        }
        index += 1
        return String(decoding: content, as: UTF8.self)
    }
}
