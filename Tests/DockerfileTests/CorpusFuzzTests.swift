import Dockerfile
import Glibc
import SystemPackage
import TestSupport
import Testing

/// Texts made from the corpus, given to all of the front end.
///
/// `Tests/Fixtures/dockerfile-corpus/` holds what mutations start from: Dockerfiles as people write them, and every input
/// that was ever at fault. A text stands in a file while it is tried, so that it outlives a crash of the process.
@Suite("Mutated Dockerfiles")
struct CorpusFuzzTests {
    @Test("what is in the corpus does no harm, as it is and cut off anywhere")
    func corpus() throws {
        let trial = try Trial(seed: 0)
        for text in try Corpus.read() {
            try trial.run(text)
            // A text may end in the middle of any construction.
            let step = max(1, text.count / 30)
            for end in stride(from: 0, to: text.count, by: step) { try trial.run(Array(text[..<end])) }
        }
        try trial.finish()
    }

    @Test("a short round with a fixed seed does no harm")
    func shortRound() throws {
        try Self.round(seed: 20_261, tries: 1500)
    }

    /// `make fuzz` sets both variables.
    @Test("a long round with a seed of the day", .enabled(if: environment("FUZZ_SECONDS") != nil, "make fuzz runs it"))
    func longRound() throws {
        let seconds = try #require(environment("FUZZ_SECONDS").flatMap { Int($0) })
        let seed = try #require(environment("FUZZ_SEED").flatMap { UInt64($0) })
        try Self.round(seed: seed, tries: .max, until: .now + .seconds(seconds))
    }

    private static func round(seed: UInt64, tries: Int, until end: ContinuousClock.Instant? = nil) throws {
        var mutator = Mutator(corpus: try Corpus.read(), seed: seed)
        let trial = try Trial(seed: seed)
        for count in 0..<tries {
            if let end, ContinuousClock.now >= end {
                print("fuzzing: \(count) texts")
                break
            }
            try trial.run(mutator.next())
        }
        try trial.finish()
    }
}

private func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

/// The texts that mutations start from.
private enum Corpus {
    static func read() throws -> [[UInt8]] {
        let folder = Fixtures.programs.appending("dockerfile-corpus")
        let names = try Program.require(["ls", folder.string]).text.split(separator: "\n")
        #expect(names.count > 20)
        return try names.map { try contents(of: folder.appending(String($0))) }
    }
}

/// Makes new texts from those of the corpus: bytes and lines changed, moved, repeated, and taken from other texts.
private struct Mutator {
    private let corpus: [[UInt8]]
    private var random: SeededGenerator

    /// What the language gives a meaning to.
    private static let tokens: [[UInt8]] =
        [
            "\\", "\\\n", "`", "\"", "'", "$", "${", "}", ":-", ":?", "//", "##", "<<", "<<-", "<<A", "\nA\n", "--",
            "=",
            "[\"", "\"]", ",", "#", "\n", "\r\n", "\t", " ", "*", "?", "!", "/", "..", "\n# escape=`\n", "é", "\u{301}",
            "\u{FEFF}", "--mount=", "--from=", "--chmod=", "ONBUILD ", "FROM a\n", " AS ", "COPY ", "RUN ", "ENV ",
            "ARG ",
        ].map { Array($0.utf8) } + [[0], [0xFF], [0xC3], [0xED, 0xA0, 0x80]]

    /// Bytes of a text: longer ones find no more, and take their time.
    private static let limit = 20_000

    init(corpus: [[UInt8]], seed: UInt64) {
        self.corpus = corpus
        random = SeededGenerator(state: seed)
    }

    mutating func next() -> [UInt8] {
        var text = pick(corpus)
        for _ in 0..<Int.random(in: 1...8, using: &random) { mutate(&text) }
        return text.count > Self.limit ? Array(text[..<Self.limit]) : text
    }

    private mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &random)]
    }

    private mutating func mutate(_ text: inout [UInt8]) {
        let place = Int.random(in: 0...text.count, using: &random)
        let length = min(text.count - place, 1 << Int.random(in: 0...6, using: &random))
        switch Int.random(in: 0..<9, using: &random) {
        case 0: text.insert(UInt8.random(in: 0...255, using: &random), at: place)
        case 1: text.insert(contentsOf: pick(Self.tokens), at: place)
        case 2: text.removeSubrange(place..<(place + length))
        case 3: if place < text.count { text[place] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
        case 4:
            let piece = Array(text[place..<(place + length)])
            for _ in 0..<Int.random(in: 1...30, using: &random) { text.insert(contentsOf: piece, at: place) }
        case 5: splice(&text, at: place)
        case 6, 7:
            var lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map(Array.init)
            lines.insert(pick(lines), at: Int.random(in: 0...lines.count, using: &random))
            if Bool.random(using: &random) { lines.remove(at: Int.random(in: 0..<lines.count, using: &random)) }
            text = Array(lines.joined(separator: CollectionOfOne(UInt8(ascii: "\n"))))
        default: text.replaceSubrange(place..<(place + length), with: pick(Self.tokens))
        }
    }

    /// Puts a part of another text, whole lines of it half of the time, into this one.
    private mutating func splice(_ text: inout [UInt8], at place: Int) {
        let other = pick(corpus)
        guard !other.isEmpty else { return }
        var start = Int.random(in: 0..<other.count, using: &random)
        var end = min(other.count, start + Int.random(in: 1...400, using: &random))
        if Bool.random(using: &random) {
            start = other[..<start].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
            end = other[end...].firstIndex(of: UInt8(ascii: "\n")) ?? other.count
        }
        text.insert(contentsOf: other[start..<end], at: place)
    }
}

/// Gives texts to the front end one after the other.
private struct Trial {
    private let path: FilePath
    private let file: FileDescriptor

    /// What one text may cost: it is short, and everything is linear or bounded. The bounds of expansion alone may take a
    /// second in an unoptimised build.
    private static let limit = Duration.seconds(20)

    init(seed: UInt64) throws {
        let folder = Fixtures.repository.appending(".build").appending("fuzz")
        try Program.require(["mkdir", "-p", folder.string])
        path = folder.appending("seed-\(seed)-\(getpid())")
        file = try FileDescriptor.open(
            path, .readWrite, options: [.create, .truncate, .closeOnExec], permissions: .ownerReadWrite)
    }

    /// Tries a text. If this process dies of it, or this throws, the text is in the file.
    func run(_ text: [UInt8]) throws {
        _ = try file.writeAll(toAbsoluteOffset: 0, text)
        try file.resize(to: Int64(text.count))
        var problem: String?
        let time = processorTime { problem = Self.problemParsing(text) ?? Self.problemMatching(text) }
        try #require(problem == nil, "\(path): \(problem ?? "")")
        try #require(time < Self.limit, "\(path) took \(time)")
    }

    /// Ends the trial; nothing was found.
    func finish() throws {
        try file.close()
        try Program.require(["rm", path.string])
    }

    /// What is wrong with how the front end takes a text as a Dockerfile; `nil` if nothing is.
    private static func problemParsing(_ text: [UInt8]) -> String? {
        let source: SourceText
        do { source = try SourceText(text) } catch { return nil }
        var said: [DockerfileError] = []
        do {
            let file = try Dockerfile(parsing: source)
            for finding in file.check(CheckInputs()).findings {
                said.append(DockerfileError(finding.message, at: finding.range, hint: finding.hint))
            }
            for instruction in file.stages.flatMap(\.instructions) {
                said.append(DockerfileError(instruction.original, at: instruction.range))
            }
            let graph = try StageGraph(file)
            for node in graph.nodes.values {
                var scope = StageScope(global: graph.global, baseEnvironment: ["x=1", "PATH=/bin"])
                for instruction in node.triggers + node.stage.instructions {
                    try scope.apply(scope.expanded(instruction))
                }
            }
        } catch {
            said.append(error)
        }
        return said.lazy.compactMap { problem(showing: $0, source) }.first
    }

    /// An error can be shown: its place lies in the text, and its report is of bounded size and safe to print.
    private static func problem(showing error: DockerfileError, _ source: SourceText) -> String? {
        if let range = error.range {
            let isInside = range.start.line >= 1 && range.end.line <= source.lineCount && range.start <= range.end
            guard isInside else { return "the place of '\(error.message)' is not in the text" }
        }
        let report = SourceExcerpt.report(error, in: source, name: "Dockerfile")
        guard report.utf8.count < 100_000 else { return "a report of \(report.utf8.count) bytes" }
        let isSafe = report.unicodeScalars.allSatisfy {
            $0.properties.generalCategory != .control || $0 == "\n" || $0 == "\t"
        }
        return isSafe ? nil : "control characters in a report"
    }

    /// What is wrong with how the same bytes are taken as an ignore file.
    private static func problemMatching(_ text: [UInt8]) -> String? {
        guard let patterns = try? IgnorePatterns(parsing: text) else { return nil }
        for path in ["a", "src/a/b.go", "Makefile", "x/y.o", "é/[x", ".hidden/foo1/bar"] {
            _ = patterns.mayContainIncluded(path.utf8)
            guard patterns.isIgnored(path.utf8) == (patterns.decidingLine(for: path.utf8) != nil) else {
                return "no line decides on \(path)"
            }
        }
        return nil
    }
}
