/// Replaces variables and removes quotes in a word, as the Dockerfile language defines it.
///
///     $name  ${name}  ${name:-word}  ${name:+word}  ${name:?message}  ${name#pattern}  ${name/pattern/text}  ...
///
/// Pure text work: bounded in depth, in output and in time, whatever the input.
package struct WordExpansion {
    package enum Limits {
        /// `${a:-${b:-...}}` may go this deep.
        package static let depth = 64
        /// Bytes of one expanded word: no variable or argument of Linux is longer than 128 KiB (MAX_ARG_STRLEN).
        package static let output = 1 << 20
    }

    package struct Result: Hashable, Sendable {
        package var text: String
        /// The text cut at blanks that stand outside quotes, those out of variables included; empty unless asked for.
        package var words: [String]
        /// The variables that were replaced by nothing because nobody set them, in order, each once.
        package var unset: [String]
    }

    /// Whether quotes group and vanish. In heredoc bodies they are ordinary characters.
    package enum Quotes { case removed, kept }

    /// What becomes of the escape character. A wildcard that is escaped is a character of a name, also for the pattern that the
    /// word is read as later: there it has a backslash, whichever the escape character is.
    package enum Escapes { case removed, keptBeforeWildcards }

    /// `\` or a backtick: takes the next character literally.
    var escape: UInt8
    var quotes = Quotes.removed
    var escapes = Escapes.removed
    private let budget: ExpansionBudget
    private let lookup: (String) -> String?

    /// `lookup` gives a variable's value, `nil` if it is not set. What is done is taken from `budget`.
    package init(
        escape: UInt8 = UInt8(ascii: "\\"), budget: ExpansionBudget = ExpansionBudget(),
        lookup: @escaping (String) -> String?
    ) {
        self.escape = escape
        self.budget = budget
        self.lookup = lookup
    }

    /// - Throws: for quotes or braces that do not match, a malformed `${...}`, `${name:?}` of an unset variable, or
    ///   an input beyond `Limits` or the budget. The error points at `word`.
    package func expand(_ word: Word) throws(DockerfileError) -> String {
        try result(of: word).text
    }

    /// - Parameter cutsWords: whether the result shall have `words`.
    package func result(of word: Word, cutsWords: Bool = false) throws(DockerfileError) -> Result {
        // Most words need no work, unless they must be cut.
        if !needsWork(word.text, cutsWords: cutsWords) {
            return Result(text: word.text, words: !cutsWords || word.text.isEmpty ? [] : [word.text], unset: [])
        }
        var expander = Expander(
            input: Array(word.text.utf8), escape: escape, removesQuotes: quotes == .removed,
            escapesWildcards: escapes == .keptBeforeWildcards, budget: budget, lookup: lookup)
        do {
            try budget.spend(expander.input.count)
            let output = try expander.run(until: nil, rawEscapes: false, depth: 0, cutsWords: cutsWords)
            return Result(
                text: String(decoding: output.text, as: UTF8.self),
                words: output.words.map { String(decoding: $0, as: UTF8.self) }, unset: expander.unset)
        } catch {
            throw DockerfileError(error.message, at: word.range, hint: error.hint)
        }
    }

    private func needsWork(_ text: String, cutsWords: Bool) -> Bool {
        let removesQuotes = quotes == .removed
        return text.utf8.contains {
            $0 == UInt8(ascii: "$") || $0 == escape
                || (removesQuotes && ($0 == .singleQuote || $0 == .doubleQuote)) || (cutsWords && $0.isBlank)
        }
    }
}

/// Why a word cannot be expanded.
struct ExpansionFault: Error {
    var message: String
    var hint: String?
}

/// One pass over one word.
private struct Expander {
    struct Output {
        var text: [UInt8] = []
        /// Filled only if they are wanted.
        var words: [[UInt8]] = []
        private var word: [UInt8] = []
        private let cutsWords: Bool

        init(cutsWords: Bool) {
            self.cutsWords = cutsWords
        }

        /// Blanks end a word here, unless they are quoted: then they belong to it.
        mutating func append(_ bytes: some Collection<UInt8>, quoted: Bool) {
            text.append(contentsOf: bytes)
            guard cutsWords else { return }
            guard !quoted else { return word.append(contentsOf: bytes) }
            for byte in bytes {
                if !byte.isBlank { word.append(byte) } else { endWord() }
            }
        }

        mutating func appendQuoted(_ byte: UInt8) {
            text.append(byte)
            if cutsWords { word.append(byte) }
        }

        mutating func endWord() {
            if !word.isEmpty { words.append(word) }
            word = []
        }
    }

    let input: [UInt8]
    let escape: UInt8
    let removesQuotes: Bool
    let escapesWildcards: Bool
    let budget: ExpansionBudget
    let lookup: (String) -> String?
    var index = 0
    private(set) var unset: [String] = []
    private var seenUnset: Set<String> = []

    init(
        input: [UInt8], escape: UInt8, removesQuotes: Bool, escapesWildcards: Bool, budget: ExpansionBudget,
        lookup: @escaping (String) -> String?
    ) {
        self.input = input
        self.escape = escape
        self.removesQuotes = removesQuotes
        self.escapesWildcards = escapesWildcards
        self.budget = budget
        self.lookup = lookup
    }

    private var peek: UInt8? { index < input.count ? input[index] : nil }

    /// Expands up to `stop`, which is passed over, or to the end. `rawEscapes` keeps the escape character before what
    /// it escapes, for a pattern that is read later.
    mutating func run(
        until stop: UInt8?, rawEscapes: Bool, depth: Int, cutsWords: Bool = false
    ) throws(ExpansionFault) -> Output {
        var output = Output(cutsWords: cutsWords)
        while let byte = peek {
            if byte == stop {
                index += 1
                output.endWord()
                return output
            }
            if byte == UInt8(ascii: "$") {
                try dollar(depth: depth, quoted: false, into: &output)
            } else if removesQuotes, byte == .singleQuote {
                output.append(try singleQuoted(), quoted: true)
            } else if removesQuotes, byte == .doubleQuote {
                try doubleQuoted(rawEscapes: rawEscapes, depth: depth, into: &output)
            } else if byte == escape {
                index += 1
                if rawEscapes {
                    output.appendQuoted(escape)
                } else if escapesWildcards, let next = peek, "*?[]\\".utf8.contains(next) {
                    output.appendQuoted(.backslash)
                }
                // An escape character at the very end escapes nothing and is dropped.
                if let next = peek { output.appendQuoted(next) }
                index += 1
            } else {
                let start = index
                repeat { index += 1 } while index < input.count && isPlain(input[index], stop)
                output.append(input[start..<index], quoted: false)
            }
            guard output.text.count <= WordExpansion.Limits.output else { throw Self.tooLong }
        }
        guard stop == nil else { throw Self.unclosed }
        output.endWord()
        return output
    }

    /// Whether a byte stands for itself outside quotes.
    private func isPlain(_ byte: UInt8, _ stop: UInt8?) -> Bool {
        byte != UInt8(ascii: "$") && byte != escape && byte != stop
            && !(removesQuotes && (byte == .singleQuote || byte == .doubleQuote))
    }

    private mutating func singleQuoted() throws(ExpansionFault) -> ArraySlice<UInt8> {
        let start = index + 1
        guard let end = input[start...].firstIndex(of: .singleQuote) else {
            throw ExpansionFault(
                message: "a single quote is not closed", hint: "inside single quotes nothing can be escaped")
        }
        index = end + 1
        return input[start..<end]
    }

    private mutating func doubleQuoted(
        rawEscapes: Bool, depth: Int, into output: inout Output
    ) throws(ExpansionFault) {
        index += 1
        while let byte = peek {
            switch byte {
            case .doubleQuote:
                index += 1
                return
            case UInt8(ascii: "$"):
                try dollar(depth: depth, quoted: true, into: &output)
                guard output.text.count <= WordExpansion.Limits.output else { throw Self.tooLong }
            case escape:
                index += 1
                guard let next = peek else { break }
                if next == .doubleQuote || next == UInt8(ascii: "$") || next == escape {
                    if rawEscapes { output.appendQuoted(escape) }
                    output.appendQuoted(next)
                    index += 1
                } else {
                    output.appendQuoted(escape)
                    if rawEscapes { output.appendQuoted(escape) }
                }
            default:
                let start = index
                repeat { index += 1 } while index < input.count && isPlainInDoubleQuotes(input[index])
                output.append(input[start..<index], quoted: true)
            }
        }
        throw ExpansionFault(message: "a double quote is not closed")
    }

    private func isPlainInDoubleQuotes(_ byte: UInt8) -> Bool {
        byte != .doubleQuote && byte != UInt8(ascii: "$") && byte != escape
    }

    /// Writes what a `$` and its name or braces stand for.
    private mutating func dollar(depth: Int, quoted: Bool, into output: inout Output) throws(ExpansionFault) {
        index += 1
        guard peek == UInt8(ascii: "{") else {
            let name = takeName()
            let value = name.isEmpty ? "$" : try value(of: name)
            return output.append(value.utf8, quoted: quoted)
        }
        guard depth < WordExpansion.Limits.depth else {
            throw ExpansionFault(message: "${...} is nested deeper than \(WordExpansion.Limits.depth) levels")
        }
        index += 1
        guard peek != nil else { throw Self.unclosed }
        let name = takeName()
        guard !name.isEmpty else { throw ExpansionFault(message: "bad substitution: ${ needs a name") }
        guard var sign = peek else { throw Self.unclosed }
        index += 1
        if sign == UInt8(ascii: "}") { return output.append(try value(of: name).utf8, quoted: quoted) }
        if sign == .slash { return output.append(try replacement(in: name, depth: depth), quoted: quoted) }

        var emptyIsUnset = false
        var modifier = [sign]
        if sign == UInt8(ascii: ":") {
            emptyIsUnset = true
            guard let next = peek else { throw Self.unclosed }
            sign = next
            modifier.append(next)
            index += 1
        }
        guard "-+?#%".utf8.contains(sign) else {
            throw ExpansionFault(
                message: "the modifier '\(String(decoding: modifier, as: UTF8.self))' in ${\(name)...} is not supported"
            )
        }
        if sign == UInt8(ascii: "#") || sign == UInt8(ascii: "%") {
            var pattern = try run(until: UInt8(ascii: "}"), rawEscapes: true, depth: depth + 1).text[...]
            let isLongest = pattern.first == sign
            if isLongest { pattern.removeFirst() }
            let part: ShellPattern.Part = sign == UInt8(ascii: "#") ? .prefix : .suffix
            let value = Array(try value(of: name).utf8)
            let rest = try ShellPattern(parsing: pattern).removing(part, longest: isLongest, from: value, budget)
            return output.append(rest, quoted: quoted)
        }
        let word = try run(until: UInt8(ascii: "}"), rawEscapes: false, depth: depth + 1).text
        let current = lookup(name)
        try budget.spend(current?.utf8.count ?? 0)
        let isSet = current.map { !emptyIsUnset || !$0.isEmpty } ?? false
        switch sign {
        case UInt8(ascii: "+"): if isSet { output.append(word, quoted: quoted) }
        case UInt8(ascii: "-") where !isSet: output.append(word, quoted: quoted)
        default:
            if isSet { return output.append((current ?? "").utf8, quoted: quoted) }
            let reason = current == nil ? "is not allowed to be unset" : "is not allowed to be empty"
            throw ExpansionFault(message: "\(name): \(word.isEmpty ? reason : String(decoding: word, as: UTF8.self))")
        }
    }

    /// `${name/pattern/text}` and `${name//pattern/text}`, from behind the first slash.
    private mutating func replacement(in name: String, depth: Int) throws(ExpansionFault) -> [UInt8] {
        let replacesAll = peek == .slash
        if replacesAll { index += 1 }
        let pattern: [UInt8]
        do {
            pattern = try run(until: .slash, rawEscapes: true, depth: depth + 1).text
        } catch {
            guard index >= input.count, error.message == Self.unclosed.message else { throw error }
            throw ExpansionFault(
                message: "the second '/' is missing in ${\(name)/...}", hint: "write ${\(name)/pattern/replacement}")
        }
        let text = try run(until: UInt8(ascii: "}"), rawEscapes: true, depth: depth + 1).text
        let value = Array(try value(of: name).utf8)
        return try ShellPattern(parsing: pattern[...]).replacing(all: replacesAll, in: value, with: text, budget)
    }

    /// A name, a number, or one of the shell's special parameters; empty if none begins here.
    private mutating func takeName() -> String {
        let start = index
        guard let first = peek else { return "" }
        if first.isDigit {
            while let byte = peek, byte.isDigit { index += 1 }
        } else if "@*#?-$!".utf8.contains(first) {
            index += 1
        } else {
            while let length = lengthOfNameCharacter() { index += length }
        }
        return String(decoding: input[start..<index], as: UTF8.self)
    }

    /// The length of the letter, digit or underscore that stands here; `nil` for anything else.
    private func lengthOfNameCharacter() -> Int? {
        guard let byte = peek else { return nil }
        if byte < 0x80 { return byte.isLetter || byte.isDigit || byte == UInt8(ascii: "_") ? 1 : nil }
        guard let scalar = String(decoding: input[index...].prefix(4), as: UTF8.self).unicodeScalars.first else {
            return nil
        }
        let isName = scalar.properties.isAlphabetic || scalar.properties.generalCategory == .decimalNumber
        return isName ? UTF8.width(scalar) : nil
    }

    /// The value of a variable, or nothing; then it is noted as unset.
    private mutating func value(of name: String) throws(ExpansionFault) -> String {
        if let value = lookup(name) {
            try budget.spend(value.utf8.count)
            return value
        }
        if seenUnset.insert(name).inserted { unset.append(name) }
        return ""
    }

    private static var unclosed: ExpansionFault {
        ExpansionFault(message: "the '}' of a ${ is missing")
    }

    private static var tooLong: ExpansionFault {
        ExpansionFault(message: "the expanded text is longer than \(WordExpansion.Limits.output) bytes")
    }
}
