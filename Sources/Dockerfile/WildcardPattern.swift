/// A wildcard in a source of COPY or ADD: Go's `filepath.Match` over a whole relative path, on bytes.
///
/// `*` is any run of bytes but `/`, `?` one of them, `[a-z]` and `[^a-z]` classes, `\` escapes.
package struct WildcardPattern: Hashable, Sendable {
    fileprivate enum Token: Hashable, Sendable {
        case literal(UInt8)
        /// `?`: a character that is no slash.
        case one
        /// `*`
        case run
        case characterClass(ranges: [ClosedRange<UInt32>], isNegated: Bool)
    }

    private let tokens: [Token]
    /// How many components a matching path has: no token but a written slash matches one.
    package let componentCount: Int
    /// Whether it holds more than literal bytes.
    package let isWildcard: Bool

    /// - Throws: for a class that is not closed or is empty, a range whose end is missing, and a `\` at the end.
    package init(parsing text: [UInt8]) throws(DockerfileError) {
        var reader = Reader(text: text)
        guard let tokens = reader.tokens() else {
            throw DockerfileError(
                "the wildcard pattern '\(String(decoding: text, as: UTF8.self))' is malformed",
                hint: #"write \[ for a bracket that is part of the name"#)
        }
        self.tokens = tokens
        componentCount = tokens.count { $0 == .literal(.slash) } + 1
        isWildcard = tokens.contains { if case .literal = $0 { false } else { true } }
    }

    /// - Throws: as `init(parsing:)` for bytes, pointing at the word.
    package init(parsing word: Word) throws(DockerfileError) {
        do {
            try self.init(parsing: Array(word.text.utf8))
        } catch {
            throw DockerfileError(error.message, at: word.range, hint: error.hint)
        }
    }

    /// The name that the pattern spells, its escapes removed; `nil` if it is a wildcard.
    package var literal: [UInt8]? {
        var bytes: [UInt8] = []
        for token in tokens {
            guard case .literal(let byte) = token else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    /// Whether the whole path matches. Takes at most as many steps as the product of both lengths.
    package func matches(_ path: some Collection<UInt8>) -> Bool {
        matches(Array(path), tokens[...])
    }

    /// Whether a path below the directory may match: the first components of the pattern match the directory's.
    package func mayMatch(below directory: some Collection<UInt8>) -> Bool {
        let path = Array(directory)
        var remaining = path.count { $0 == .slash } + 1
        guard remaining < componentCount else { return false }
        var end = 0
        while end < tokens.count {
            if tokens[end] == .literal(.slash) {
                remaining -= 1
                if remaining == 0 { break }
            }
            end += 1
        }
        return matches(path, tokens[..<end])
    }

    private func matches(_ path: [UInt8], _ tokens: ArraySlice<Token>) -> Bool {
        var index = 0
        var token = tokens.startIndex
        // Where to go on if a match fails: the last run takes one byte more. Runs before it need not be
        // tried again, since a run cannot pass a slash and the earliest match of what stands between is the best.
        var retry: (token: Int, index: Int)?
        while true {
            if token < tokens.endIndex, tokens[token] == .run {
                retry = (token, index)
                token += 1
                continue
            }
            if token == tokens.endIndex {
                if index == path.count { return true }
            } else if index < path.count, let length = tokens[token].match(path, at: index) {
                token += 1
                index += length
                continue
            }
            guard let last = retry, last.index < path.count, path[last.index] != .slash else { return false }
            retry = (last.token, last.index + 1)
            token = last.token + 1
            index = last.index + 1
        }
    }

    private struct Reader {
        let text: [UInt8]
        var index = 0

        init(text: [UInt8]) {
            self.text = text
        }

        /// `nil` if the pattern is malformed.
        mutating func tokens() -> [Token]? {
            var tokens: [Token] = []
            while index < text.count {
                let byte = text[index]
                index += 1
                switch byte {
                case UInt8(ascii: "*"):
                    if tokens.last != .run { tokens.append(.run) }
                case UInt8(ascii: "?"):
                    tokens.append(.one)
                case UInt8(ascii: "["):
                    guard let token = characterClass() else { return nil }
                    tokens.append(token)
                case .backslash:
                    guard index < text.count else { return nil }
                    tokens.append(.literal(text[index]))
                    index += 1
                default:
                    tokens.append(.literal(byte))
                }
            }
            return tokens
        }

        private mutating func characterClass() -> Token? {
            var isNegated = false
            if index < text.count, text[index] == UInt8(ascii: "^") {
                isNegated = true
                index += 1
            }
            var ranges: [ClosedRange<UInt32>] = []
            while index < text.count {
                if text[index] == UInt8(ascii: "]"), !ranges.isEmpty {
                    index += 1
                    return .characterClass(ranges: ranges, isNegated: isNegated)
                }
                guard let low = classMember() else { return nil }
                var high = low
                if index < text.count, text[index] == UInt8(ascii: "-") {
                    index += 1
                    guard let end = classMember() else { return nil }
                    high = end
                }
                // A range that ends before it starts holds nothing, as in Go; 0xFFFFFFFF is no character.
                ranges.append(low <= high ? low...high : .max ... .max)
            }
            return nil
        }

        private mutating func classMember() -> UInt32? {
            guard index < text.count, text[index] != UInt8(ascii: "-"), text[index] != UInt8(ascii: "]") else {
                return nil
            }
            if text[index] == .backslash {
                index += 1
                guard index < text.count else { return nil }
            }
            let character = PathCharacter(text, at: index)
            index += character.length
            return character.value
        }
    }
}

extension WildcardPattern.Token {
    /// How many bytes of the path the token takes at `index`; `nil` if it does not match there.
    fileprivate func match(_ path: [UInt8], at index: Int) -> Int? {
        switch self {
        case .literal(let byte): return path[index] == byte ? 1 : nil
        case .run: return nil
        case .one: return path[index] == .slash ? nil : PathCharacter(path, at: index).length
        case .characterClass(let ranges, let isNegated):
            let character = PathCharacter(path, at: index)
            guard character.value != UInt32(UInt8.slash) else { return nil }
            return ranges.contains { $0.contains(character.value) } != isNegated ? character.length : nil
        }
    }
}

/// One character of a file name: a UTF-8 character, or a single byte where the name is not UTF-8.
struct PathCharacter {
    /// The scalar's value; for a byte that is no UTF-8, U+FFFD, as Go reads it.
    var value: UInt32
    var length: Int

    init(_ bytes: [UInt8], at index: Int) {
        let first = bytes[index]
        if first < 0x80 {
            (value, length) = (UInt32(first), 1)
            return
        }
        var iterator = bytes[index...].prefix(4).makeIterator()
        var decoder = UTF8()
        switch decoder.decode(&iterator) {
        case .scalarValue(let scalar): (value, length) = (scalar.value, UTF8.width(scalar))
        case .emptyInput, .error: (value, length) = (0xFFFD, 1)
        }
    }
}
