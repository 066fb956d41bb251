/// The patterns of a `.dockerignore`, or of `--exclude`, compiled once.
///
/// Paths are bytes, relative to the folder that the patterns belong to, cut by `/`, without one at either end. A pattern
/// that matches a directory matches all that is below it; the last pattern that matches a path decides.
package struct IgnorePatterns: Sendable {
    /// Bytes of an ignore file. Each pattern is tried on each path, so this bounds the time, too.
    package static let maximumLength = 1 << 20

    /// A pattern as its author wrote it.
    package struct Line: Hashable, Sendable {
        /// From 1; for `--exclude`, the place in the order of the flags.
        package var number: Int
        package var text: String
    }

    private struct Pattern: Sendable {
        var matcher: PathMatcher
        /// It started with `!`.
        var includes: Bool
        var line: Line
    }

    private let patterns: [Pattern]

    /// Leaves nothing out.
    package static let none = IgnorePatterns(patterns: [])

    private init(patterns: [Pattern]) {
        self.patterns = patterns
    }

    /// Reads an ignore file.
    ///
    /// - Throws: for a malformed pattern, a `!` with nothing behind it, or a file that is too long. The error's line is
    ///   one of the ignore file.
    package init(parsing text: [UInt8]) throws(DockerfileError) {
        guard text.count <= Self.maximumLength else {
            throw DockerfileError("the ignore file has \(text.count) bytes; at most \(Self.maximumLength) are read")
        }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let content = text.starts(with: mark) ? text.dropFirst(mark.count) : text[...]
        var patterns: [Pattern] = []
        let lines = content.split(separator: .newline, omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() where line.first != UInt8(ascii: "#") {
            let range = SourceRange(line: index + 1, columns: 1..<(line.count + 1))
            if let pattern = try Self.pattern(line, number: index + 1, at: range) { patterns.append(pattern) }
        }
        self.patterns = patterns
    }

    /// Takes the values of `--exclude`.
    ///
    /// - Throws: for a malformed pattern; the error points at its word.
    package init(excluding words: [Word]) throws(DockerfileError) {
        var patterns: [Pattern] = []
        for (index, word) in words.enumerated() {
            let pattern = try Self.pattern(Array(word.text.utf8)[...], number: index + 1, at: word.range)
            if let pattern { patterns.append(pattern) }
        }
        self.patterns = patterns
    }

    /// Whether there is nothing to match, so that walking may skip the question.
    package var isEmpty: Bool { patterns.isEmpty }

    /// Whether the path is left out.
    package func isIgnored(_ path: some Sequence<UInt8>) -> Bool {
        var walk = PathMatcher.Walk(path)
        return deciding(&walk).map { !patterns[$0].includes } ?? false
    }

    /// The pattern that leaves the path out; `nil` if it is not left out.
    package func decidingLine(for path: some Sequence<UInt8>) -> Line? {
        var walk = PathMatcher.Walk(path)
        guard let index = deciding(&walk), !patterns[index].includes else { return nil }
        return patterns[index].line
    }

    /// Whether something below an ignored directory may be brought back by a pattern with `!`, so that the directory
    /// must be descended although it is ignored.
    package func mayContainIncluded(_ directory: some Sequence<UInt8>) -> Bool {
        var walk = PathMatcher.Walk(directory)
        // What decides on the directory decides on all below it, unless a later pattern does.
        let later = deciding(&walk).map { $0 + 1 } ?? 0
        return patterns[later...].contains { $0.includes && $0.matcher.mayMatchBelow(&walk) }
    }

    private func deciding(_ walk: inout PathMatcher.Walk) -> Int? {
        var index = patterns.count
        while index > 0 {
            index -= 1
            if patterns[index].matcher.matchesPathOrParent(&walk) { return index }
        }
        return nil
    }

    private static func pattern(
        _ line: ArraySlice<UInt8>, number: Int, at range: SourceRange
    ) throws(DockerfileError) -> Pattern? {
        var text = trimmed(line)
        let shown = String(decoding: text, as: UTF8.self)
        guard !text.isEmpty else { return nil }
        let includes = text.first == UInt8(ascii: "!")
        if includes { text = trimmed(text.dropFirst()) }
        guard !text.isEmpty else {
            throw DockerfileError("'!' stands alone", at: range, hint: "a pattern must follow it")
        }
        var cleaned = PathText.cleaned(Array(text))
        if cleaned.count > 1, cleaned.first == .slash { cleaned.removeFirst() }
        guard let matcher = PathMatcher(cleaned) else {
            throw DockerfileError(
                "the pattern '\(shown)' is malformed", at: range,
                hint: #"write \[ for a bracket that is part of the name"#)
        }
        return Pattern(matcher: matcher, includes: includes, line: Line(number: number, text: shown))
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var line = line.drop(while: \.isBlank)
        while line.last?.isBlank == true { line.removeLast() }
        return line
    }
}
