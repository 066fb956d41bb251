/// The tokens of a short pattern as bits of a machine word: one step of all ways to match is a few operations.
///
/// A set of tokens that may come next is a word; the bit behind the last token stands for a match.
struct TokenBits: Sendable {
    /// What each literal token expects.
    private var expected: [UInt32] = []
    private var literals: UInt64 = 0
    /// `?`
    private var ones: UInt64 = 0
    /// `*`
    private var runs: UInt64 = 0
    private var classes: UInt64 = 0
    private var components: UInt64 = 0
    /// Tokens that stay possible after any character.
    private var staying: UInt64 = 0
    /// Tokens that may match nothing: the next one is possible, too.
    private var passing: UInt64 = 0
    /// Tokens that the next but one may replace.
    private var skipping: UInt64 = 0
    private let end: UInt64

    /// `nil` if there are more tokens than bits.
    init?(_ tokens: [PathMatcher.Token]) {
        guard tokens.count < UInt64.bitWidth else { return nil }
        end = 1 << UInt64(tokens.count)
        for (index, token) in tokens.enumerated() {
            let bit: UInt64 = 1 << UInt64(index)
            var character: UInt32 = 0
            switch token {
            case .literal(let value):
                literals |= bit
                character = value
            case .one: ones |= bit
            case .run:
                runs |= bit
                passing |= bit
            case .perhapsComponents:
                passing |= bit
                skipping |= bit
            case .components:
                components |= bit
                staying |= bit
            case .all:
                staying |= bit
                passing |= bit
            case .characterClass: classes |= bit
            }
            expected.append(character)
        }
    }

    func matchPathOrParent(_ path: [UInt32], _ tokens: [PathMatcher.Token]) -> Bool {
        var possible = closure(1)
        var index = 0
        while index < path.count {
            let isSlash = path[index] == UInt32(UInt8.slash)
            // What was matched so far is a directory that the path is in.
            if isSlash, index > 0, possible & end != 0 { return true }
            possible = step(possible, path[index], isSlash: isSlash, tokens)
            if possible == 0 { return false }
            index += 1
        }
        return index > 0 && possible & end != 0
    }

    func mayMatchBelow(_ directory: [UInt32], _ tokens: [PathMatcher.Token]) -> Bool {
        var possible = closure(1)
        let slash = UInt32(UInt8.slash)
        for character in directory { possible = step(possible, character, isSlash: character == slash, tokens) }
        if !directory.isEmpty { possible = step(possible, slash, isSlash: true, tokens) }
        return possible & (end - 1) != 0
    }

    private func step(
        _ possible: UInt64, _ character: UInt32, isSlash: Bool, _ tokens: [PathMatcher.Token]
    ) -> UInt64 {
        var following = possible & staying
        if isSlash {
            following |= (possible & components) << 1
        } else {
            following |= possible & runs | (possible & ones) << 1
            var asked = possible & classes
            while asked != 0 {
                let index = asked.trailingZeroBitCount
                asked &= asked - 1
                guard case .characterClass(let ranges, let isNegated) = tokens[index] else { continue }
                if ranges.contains(where: { $0.contains(character) }) != isNegated { following |= 2 << UInt64(index) }
            }
        }
        var asked = possible & literals
        while asked != 0 {
            let index = asked.trailingZeroBitCount
            asked &= asked - 1
            if expected[index] == character { following |= 2 << UInt64(index) }
        }
        return closure(following)
    }

    /// Adds the tokens that may come next without a character.
    private func closure(_ tokens: UInt64) -> UInt64 {
        var tokens = tokens
        while true {
            let more = tokens | (tokens & passing) << 1 | (tokens & skipping) << 2
            if more == tokens { return tokens }
            tokens = more
        }
    }
}
