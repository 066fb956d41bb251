extension Parser {
    mutating func copy(
        _ statement: Statement, _ flags: inout FlagReader
    ) throws(DockerfileError) -> CopyInstruction {
        let options = try fileOptions(&flags)
        let parents = try flags.boolean("parents") ?? false
        let from = try flags.string("from")
        try flags.finish()
        if let from, from.text.contains("$") {
            throw DockerfileError(
                "variables are not replaced in COPY --from", at: from.range,
                hint: "name a stage for it: FROM \(from.text) AS source, then COPY --from=source")
        }
        let (sources, destination) = try files(statement)
        return CopyInstruction(
            sources: sources, destination: destination, options: options, parents: parents, from: from)
    }

    mutating func add(
        _ statement: Statement, _ flags: inout FlagReader
    ) throws(DockerfileError) -> AddInstruction {
        let options = try fileOptions(&flags)
        let checksum = try flags.string("checksum")
        let keepGitDirectory = try flags.boolean("keep-git-dir")
        let unpack = try flags.boolean("unpack")
        try flags.finish()
        let (sources, destination) = try files(statement)
        return AddInstruction(
            sources: sources, destination: destination, options: options, checksum: checksum,
            keepGitDirectory: keepGitDirectory, unpack: unpack)
    }

    private func fileOptions(_ flags: inout FlagReader) throws(DockerfileError) -> FileOptions {
        let options = FileOptions(
            chown: try flags.string("chown"), chmod: try flags.string("chmod"),
            link: try flags.boolean("link") ?? false, excludes: try flags.strings("exclude"))
        if let chmod = options.chmod, !chmod.text.contains("$") { _ = try options.mode() }
        _ = try IgnorePatterns(excluding: options.excludes)
        return options
    }

    /// All words but the last, which is the destination, with the bodies of those that are heredocs.
    private mutating func files(_ statement: Statement) throws(DockerfileError) -> ([FileSource], Word) {
        func tooFew() -> DockerfileError {
            statement.fault(
                "at least one source and a destination are needed",
                hint: "write \(statement.keyword) <source>... <destination>")
        }
        // JSON strings are paths, whatever they look like.
        if let words = try statement.jsonWords() {
            guard words.count >= 2, let destination = words.last else { throw tooFew() }
            return (words.dropLast().map { .path($0) }, destination)
        }
        let words = statement.blankSeparated
        guard words.count >= 2 else { throw tooFew() }
        let found = HeredocWord.all(in: statement.line, statement.arguments)
        let heredocs = try takeBodies(of: found)
        var sources: [FileSource] = []
        var next = 0
        for word in words {
            while next < found.count, found[next].offsets.upperBound <= word.lowerBound { next += 1 }
            if next < found.count, found[next].offsets.contains(word.lowerBound) {
                // `<< EOF` is two words at blanks, but one heredoc.
                if found[next].offsets.lowerBound == word.lowerBound { sources.append(.heredoc(heredocs[next])) }
            } else {
                sources.append(.path(statement.line.word(word)))
            }
        }
        guard case .path(let target)? = sources.popLast() else {
            throw DockerfileError(
                "\(statement.keyword): the destination cannot be a heredoc", at: found.last?.range,
                hint: "write \(statement.keyword) <<NAME <destination>")
        }
        guard !sources.isEmpty else { throw tooFew() }
        for case .heredoc(let heredoc) in sources { try Self.checkFileName(of: heredoc) }
        // Of heredocs with one name, the last body is the file's.
        let last = Dictionary(heredocs.map { ($0.name, $0) }) { $1 }
        for index in sources.indices {
            if case .heredoc(let heredoc) = sources[index] { sources[index] = .heredoc(last[heredoc.name] ?? heredoc) }
        }
        return (sources, target)
    }

    /// The bodies of heredocs, which follow the instruction in the order of the words.
    mutating func takeBodies(of words: [HeredocWord]) throws(DockerfileError) -> [Heredoc] {
        var heredocs: [Heredoc] = []
        for word in words {
            let body = try lexer.takeBody(of: word)
            let contents = word.stripsTabs ? Self.withoutLeadingTabs(body) : body
            heredocs.append(
                Heredoc(
                    name: word.name, contents: String(decoding: contents, as: UTF8.self), expands: word.expands,
                    range: word.range))
        }
        return heredocs
    }

    /// - Throws: if the heredoc's name cannot be that of a file.
    static func checkFileName(of heredoc: Heredoc) throws(DockerfileError) {
        guard !heredoc.name.utf8.contains(.slash), heredoc.name != ".", heredoc.name != ".." else {
            throw DockerfileError(
                "the heredoc '\(heredoc.name)' names a file, so it cannot hold a path", at: heredoc.range)
        }
    }

    private static func withoutLeadingTabs(_ body: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(body.count)
        var atStart = true
        for byte in body {
            if atStart, byte == .tab { continue }
            atStart = byte == .newline
            result.append(byte)
        }
        return result
    }
}
