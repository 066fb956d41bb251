/// One pattern of an ignore file: `*`, `?`, `[...]` within a path component, `**` across components.
///
/// All ways to match are followed at once, so that a match takes at most as many steps as the product of the lengths
/// of pattern and path; for patterns of fewer than 64 tokens, which are nearly all, as many as the path is long.
struct PathMatcher: Sendable {
    enum Token: Equatable, Sendable {
        case literal(UInt32)
        /// `?`
        case one
        /// `*`
        case run
        /// `**` before something: nothing, or any run that ends with a slash. `components` follows it.
        case perhapsComponents
        case components
        /// `**` at the end: any run.
        case all
        case characterClass(ranges: [ClosedRange<UInt32>], isNegated: Bool)
    }

    /// Stands for a byte that is no UTF-8: this plus the byte, above all Unicode characters.
    private static let rawByte: UInt32 = 0x11_0000

    private let tokens: [Token]
    /// `nil` for a pattern that is too long.
    private let bits: TokenBits?

    /// A path under match, and the room that matching needs, used again for each pattern.
    struct Walk {
        fileprivate let path: [UInt32]
        fileprivate var states = States()

        init(_ path: some Sequence<UInt8>) {
            self.path = PathMatcher.characters(Array(path))
        }
    }

    /// The tokens that may come next, each at most once.
    fileprivate struct States {
        var current: [Int] = []
        var following: [Int] = []
        /// For each token, the step that last added it.
        var added: [Int] = []
        var step = 0

        mutating func start(count: Int) {
            current.removeAll(keepingCapacity: true)
            following.removeAll(keepingCapacity: true)
            if added.count < count { added += repeatElement(0, count: count - added.count) }
            step += 1
        }

        mutating func advance() {
            swap(&current, &following)
            following.removeAll(keepingCapacity: true)
            step += 1
        }
    }

    /// - Parameter pattern: cleaned, without a slash before it.
    ///
    /// `nil` if it is malformed: a class that is not closed or is empty, a `\` at the end.
    ///
    /// - Parameter usesBits: false to match as if the pattern were long.
    init?(_ pattern: [UInt8], usesBits: Bool = true) {
        var reader = Reader(text: Self.characters(pattern))
        guard let tokens = reader.tokens() else { return nil }
        self.tokens = tokens
        bits = usesBits ? TokenBits(tokens) : nil
    }

    /// Whether the pattern matches the path, or a directory that the path is in.
    func matchesPathOrParent(_ walk: inout Walk) -> Bool {
        // Most patterns begin with a letter, and most paths with another one.
        if case .literal(let first)? = tokens.first, walk.path.first != first { return false }
        if let bits { return bits.matchPathOrParent(walk.path, tokens) }
        walk.states.start(count: tokens.count + 1)
        add(0, &walk.states)
        walk.states.advance()
        for (index, character) in walk.path.enumerated() {
            consume(character, &walk.states)
            if walk.states.current.isEmpty { return false }
            let isEndOfComponent = index + 1 == walk.path.count || walk.path[index + 1] == UInt32(UInt8.slash)
            if isEndOfComponent, walk.states.added[tokens.count] == walk.states.step - 1 { return true }
        }
        return false
    }

    /// Whether the pattern may match a path below this directory.
    func mayMatchBelow(_ walk: inout Walk) -> Bool {
        if let bits { return bits.mayMatchBelow(walk.path, tokens) }
        walk.states.start(count: tokens.count + 1)
        add(0, &walk.states)
        walk.states.advance()
        for character in walk.path { consume(character, &walk.states) }
        if !walk.path.isEmpty { consume(UInt32(UInt8.slash), &walk.states) }
        return walk.states.current.contains { $0 < tokens.count }
    }

    private func consume(_ character: UInt32, _ states: inout States) {
        let isSlash = character == UInt32(UInt8.slash)
        for position in states.current.indices {
            let index = states.current[position]
            guard index < tokens.count else { continue }
            switch tokens[index] {
            case .literal(let expected):
                if expected == character { add(index + 1, &states) }
            case .one:
                if !isSlash { add(index + 1, &states) }
            case .run:
                if !isSlash { add(index, &states) }
            case .perhapsComponents:
                break
            case .components:
                add(index, &states)
                if isSlash { add(index + 1, &states) }
            case .all:
                add(index, &states)
            case .characterClass(let ranges, let isNegated):
                if !isSlash, ranges.contains(where: { $0.contains(character) }) != isNegated {
                    add(index + 1, &states)
                }
            }
        }
        states.advance()
    }

    /// Adds a token, and those behind it that may be reached without a character.
    private func add(_ first: Int, _ states: inout States) {
        var pending = first
        while states.added[pending] != states.step {
            states.added[pending] = states.step
            states.following.append(pending)
            guard pending < tokens.count else { return }
            switch tokens[pending] {
            case .run, .all: pending += 1
            case .perhapsComponents:
                // The run of components itself, and what is behind it.
                if states.added[pending + 1] != states.step {
                    states.added[pending + 1] = states.step
                    states.following.append(pending + 1)
                }
                pending += 2
            default: return
            }
        }
    }

    /// The characters of a name; a byte that is no UTF-8 is a character of its own.
    private static func characters(_ bytes: [UInt8]) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if bytes[index] < 0x80 {
                result.append(UInt32(bytes[index]))
                index += 1
                continue
            }
            let character = PathCharacter(bytes, at: index)
            let isRaw = character.length == 1
            result.append(isRaw ? rawByte + UInt32(bytes[index]) : character.value)
            index += character.length
        }
        return result
    }

    private struct Reader {
        let text: [UInt32]
        var index = 0

        init(text: [UInt32]) {
            self.text = text
        }

        private func at(_ index: Int, _ character: Unicode.Scalar) -> Bool {
            index < text.count && text[index] == character.value
        }

        mutating func tokens() -> [Token]? {
            // Docker treats `**name`, with nothing special in the name, as any path that ends in `name`.
            if at(0, "*"), at(1, "*"), !at(2, "/"), text.count > 2,
                !text[2...].contains(where: { character in "*?[]\\".unicodeScalars.contains { $0.value == character } })
            {
                return [.all] + text[2...].map { .literal($0) }
            }
            var tokens: [Token] = []
            while index < text.count {
                let character = text[index]
                if at(index, "*"), at(index + 1, "*") {
                    index += at(index + 2, "/") ? 3 : 2
                    if index >= text.count {
                        tokens.append(.all)
                    } else if tokens.last != .components {
                        tokens += [.perhapsComponents, .components]
                    }
                } else if at(index, "*") {
                    if tokens.last != .run { tokens.append(.run) }
                    index += 1
                } else if at(index, "?") {
                    tokens.append(.one)
                    index += 1
                } else if at(index, "[") {
                    guard let token = characterClass() else { return nil }
                    tokens.append(token)
                } else if at(index, "\\") {
                    guard index + 1 < text.count else { return nil }
                    tokens.append(.literal(text[index + 1]))
                    index += 2
                } else {
                    tokens.append(.literal(character))
                    index += 1
                }
            }
            return tokens
        }

        private mutating func characterClass() -> Token? {
            index += 1
            let isNegated = at(index, "^")
            if isNegated { index += 1 }
            var ranges: [ClosedRange<UInt32>] = []
            while !at(index, "]") || ranges.isEmpty {
                guard let low = classMember() else { return nil }
                var high = low
                if at(index, "-") {
                    index += 1
                    guard let end = classMember() else { return nil }
                    high = end
                }
                guard low <= high else { return nil }
                ranges.append(low...high)
            }
            index += 1
            return .characterClass(ranges: ranges, isNegated: isNegated)
        }

        private mutating func classMember() -> UInt32? {
            if at(index, "\\") { index += 1 } else if at(index, "-") || at(index, "]") { return nil }
            guard index < text.count else { return nil }
            index += 1
            return text[index - 1]
        }
    }
}
