/// The patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*` is any run of characters and
/// `?` one character, neither of them a newline. Brackets are ordinary.
struct ShellPattern {
    enum Part { case prefix, suffix }

    private enum Token: Equatable {
        case literal(Unicode.Scalar)
        case any
        case run
    }

    /// Comparisons of one character with one token that a pattern may cost: about a tenth of a second.
    private static let maximumWork = 1 << 24

    private let tokens: [Token]

    /// - Throws: for `\` before anything but `*`, `?`, `\`, `/` and `}`.
    init(parsing text: ArraySlice<UInt8>) throws(ExpansionFault) {
        var tokens: [Token] = []
        var scalars = Array(String(decoding: text, as: UTF8.self).unicodeScalars)[...]
        while let scalar = scalars.popFirst() {
            switch scalar {
            // Two stars mean what one means, and would only cost time.
            case "*": if tokens.last != .run { tokens.append(.run) }
            case "?": tokens.append(.any)
            case "\\":
                guard let escaped = scalars.popFirst(), "*?\\/}".unicodeScalars.contains(escaped) else {
                    throw ExpansionFault(
                        message:
                            "the pattern '\(String(decoding: text.prefix(80), as: UTF8.self))' has a '\\' that escapes nothing",
                        hint: #"only \*, \?, \\, \/ and \} can be written"#)
                }
                tokens.append(.literal(escaped))
            default: tokens.append(.literal(scalar))
            }
        }
        self.tokens = tokens
    }

    /// `value` without the shortest or longest matching prefix or suffix.
    func removing(
        _ part: Part, longest: Bool, from value: [UInt8], _ budget: ExpansionBudget
    ) throws(ExpansionFault) -> [UInt8] {
        var scalars = Array(String(decoding: value, as: UTF8.self).unicodeScalars)
        var tokens = tokens
        if part == .suffix {
            scalars.reverse()
            tokens.reverse()
        }
        var work = 0
        let end = try Self.matchEnd(tokens, scalars, from: 0, longest: longest, &work)
        try budget.spend(work)
        guard let end else { return value }
        let length = scalars[..<end].reduce(0) { $0 + UTF8.width($1) }
        return Array(part == .prefix ? value.dropFirst(length) : value.dropLast(length))
    }

    /// `value` with the first or every match, each as long as possible, replaced by `text`.
    func replacing(
        all: Bool, in value: [UInt8], with text: [UInt8], _ budget: ExpansionBudget
    ) throws(ExpansionFault) -> [UInt8] {
        let scalars = Array(String(decoding: value, as: UTF8.self).unicodeScalars)
        var result: [UInt8] = []
        var work = 0
        var start = 0
        var copied = 0
        var lastEnd = -1
        while start <= scalars.count {
            guard let end = try Self.matchEnd(tokens, scalars, from: start, longest: true, &work),
                // An empty match right behind a match is none.
                end > start || start != lastEnd
            else {
                start += 1
                continue
            }
            result += Self.utf8(scalars[copied..<start])
            result += text
            guard result.count <= WordExpansion.Limits.output else {
                throw ExpansionFault(message: "the expanded text is longer than \(WordExpansion.Limits.output) bytes")
            }
            copied = end
            lastEnd = end
            if !all { break }
            start = end > start ? end : start + 1
        }
        try budget.spend(work + result.count)
        return result + Self.utf8(scalars[copied...])
    }

    /// Where the match that begins at `start` ends; `nil` if there is none. Follows all ways to match at once, so
    /// that no pattern takes more than one step per character and token.
    private static func matchEnd(
        _ tokens: [Token], _ text: [Unicode.Scalar], from start: Int, longest: Bool, _ work: inout Int
    ) throws(ExpansionFault) -> Int? {
        // The tokens that may match next, each once, in order; and those after the next character.
        var active: [Int] = []
        var following: [Int] = []
        add(0, tokens, &active)
        var end: Int?
        var index = start
        while true {
            if active.last == tokens.count {
                end = index
                if !longest { return end }
            }
            guard index < text.count, !active.isEmpty else { return end }
            work += active.count
            guard work <= maximumWork else {
                throw ExpansionFault(message: "a pattern in ${...} takes too long to match")
            }
            following.removeAll(keepingCapacity: true)
            for token in active where token < tokens.count {
                switch tokens[token] {
                case .literal(let scalar): if scalar == text[index] { add(token + 1, tokens, &following) }
                case .any: if text[index] != "\n" { add(token + 1, tokens, &following) }
                case .run: if text[index] != "\n" { add(token, tokens, &following) }
                }
            }
            swap(&active, &following)
            index += 1
        }
    }

    /// Adds a token, and the one behind it if it is a run, which may be empty. Callers come in rising order,
    /// so what is not above the last is there already.
    private static func add(_ token: Int, _ tokens: [Token], _ active: inout [Int]) {
        var token = token
        while token <= tokens.count {
            if active.last ?? -1 < token { active.append(token) }
            guard token < tokens.count, tokens[token] == .run else { return }
            token += 1
        }
    }

    private static func utf8(_ scalars: ArraySlice<Unicode.Scalar>) -> [UInt8] {
        var text: [UInt8] = []
        for scalar in scalars { text += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter }
        return text
    }
}
