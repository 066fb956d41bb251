/// Turns the logical lines of a Dockerfile into typed instructions.
///
/// `Parser+*.swift` hold the instructions whose arguments have a form of their own.
struct Parser {
    var lexer: Lexer

    /// The lines that a Dockerfile is made of, in order.
    struct Result {
        var directives: ParserDirectives
        var globalInstructions: [Instruction] = []
        var stages: [Stage] = []
        var emptyContinuations: [Int: Int] = [:]
    }

    static func parse(_ source: SourceText) throws(DockerfileError) -> Result {
        var result = Result(directives: try ParserDirectives(source))
        let directives = result.directives
        var parser = Parser(lexer: Lexer(source: source, startingAt: directives.lineCount))
        parser.lexer.escape = directives.escapeByte
        while let line = parser.lexer.nextInstruction() {
            let statement = Statement(line, escape: directives.escapeByte)
            if let empty = parser.lexer.emptyContinuation {
                result.emptyContinuations[statement.keywordRange.start.line] = empty
            }
            if statement.keyword == "FROM" {
                guard result.stages.count < SourceText.Limits.stages else {
                    throw DockerfileError(
                        "the Dockerfile has more than \(SourceText.Limits.stages) stages", at: statement.range)
                }
                result.stages.append(try parser.stage(statement, index: result.stages.count))
                continue
            }
            let instruction = try parser.instruction(statement)
            if result.stages.isEmpty {
                guard case .arg = instruction.kind else {
                    throw DockerfileError(
                        "\(statement.keyword) stands before the first FROM", at: statement.keywordRange,
                        hint: "a Dockerfile begins with FROM; only ARG may come before it")
                }
                result.globalInstructions.append(instruction)
            } else {
                result.stages[result.stages.count - 1].instructions.append(instruction)
            }
        }
        guard !result.stages.isEmpty else {
            throw DockerfileError(
                result.globalInstructions.isEmpty ? "the Dockerfile has no instructions" : "the Dockerfile has no FROM",
                hint: "begin with FROM <image>")
        }
        return result
    }

    /// Any instruction but FROM. Takes the heredoc bodies after it.
    mutating func instruction(_ statement: Statement) throws(DockerfileError) -> Instruction {
        Instruction(kind: try kind(of: statement), range: statement.range, original: statement.original)
    }

    private mutating func kind(of statement: Statement) throws(DockerfileError) -> Instruction.Kind {
        var flags = FlagReader(statement)
        switch statement.keyword {
        case "ADD": return .add(try add(statement, &flags))
        case "COPY": return .copy(try copy(statement, &flags))
        case "RUN": return .run(try run(statement, &flags))
        case "HEALTHCHECK": return .healthcheck(try healthcheck(statement, &flags))
        case "ONBUILD": return .onbuild(try onbuild(statement))
        default: break
        }
        guard Instruction.keywords.contains(statement.keyword) else { throw unknown(statement) }
        try flags.finish()
        switch statement.keyword {
        case "ARG": return .arg(try arg(statement))
        case "CMD": return .cmd(try command(statement) ?? .shell(""))
        case "ENTRYPOINT": return .entrypoint(try command(statement) ?? .exec([]))
        case "ENV": return .env(try keyValues(statement))
        case "EXPOSE": return .expose(ExposeInstruction(words: try words(statement)))
        case "LABEL": return .label(try keyValues(statement))
        case "MAINTAINER": return .maintainer(try rest(statement))
        case "SHELL": return .shell(try shell(statement))
        case "STOPSIGNAL": return .stopsignal(try stopSignal(statement))
        case "USER": return .user(try rest(statement))
        case "VOLUME": return .volume(try volumes(statement))
        case "WORKDIR": return .workdir(try rest(statement))
        default: throw unknown(statement)
        }
    }

    private func unknown(_ statement: Statement) -> DockerfileError {
        let written = statement.line.text(statement.keywordOffsets)
        return DockerfileError(
            "unknown instruction '\(written.prefix(64))'", at: statement.keywordRange,
            hint: Suggestion.hint(for: written, in: Instruction.keywords))
    }

    // MARK: Forms of arguments

    /// The rest of the line as one value, blanks included.
    private func rest(_ statement: Statement) throws(DockerfileError) -> Word {
        guard !statement.arguments.isEmpty else { throw statement.fault("an argument is missing") }
        return statement.line.word(statement.arguments)
    }

    private func words(_ statement: Statement) throws(DockerfileError) -> [Word] {
        guard !statement.arguments.isEmpty else { throw statement.fault("at least one argument is needed") }
        return statement.blankSeparated.map(statement.line.word)
    }

    /// JSON form or shell form; `nil` if there is nothing.
    private func command(_ statement: Statement) throws(DockerfileError) -> CommandLine? {
        if let words = try statement.jsonWords() { return .exec(words.map(\.text)) }
        return statement.arguments.isEmpty ? nil : .shell(statement.argumentText)
    }

    private func keyValues(_ statement: Statement) throws(DockerfileError) -> [KeyValue] {
        let line = statement.line
        let words = statement.quotedWords
        guard let first = words.first else { throw statement.fault("at least one key=value is needed") }
        let sign = UInt8(ascii: "=")
        guard line.bytes[first].contains(sign) else { return [try legacyKeyValue(statement)] }
        var result: [KeyValue] = []
        for word in words {
            guard let split = line.bytes[word].firstIndex(of: sign) else {
                throw DockerfileError(
                    "\(statement.keyword): '\(line.text(word))' has no '='", at: line.range(word),
                    hint: "write key=value, and quotes around a value with blanks")
            }
            guard split > word.lowerBound else {
                throw DockerfileError("\(statement.keyword): the name before '=' is empty", at: line.range(word))
            }
            result.append(
                KeyValue(key: line.word(word.lowerBound..<split), value: line.word((split + 1)..<word.upperBound)))
        }
        return result
    }

    /// `ENV key value with blanks`.
    private func legacyKeyValue(_ statement: Statement) throws(DockerfileError) -> KeyValue {
        let line = statement.line
        let arguments = statement.arguments
        guard let blank = line.bytes[arguments].firstIndex(where: \.isBlank) else {
            throw statement.fault("'\(statement.argumentText)' has no value", hint: "write key=value")
        }
        return KeyValue(
            key: line.word(arguments.lowerBound..<blank), value: line.word(line.trimmed(blank..<arguments.upperBound)),
            isLegacy: true)
    }

    private func arg(_ statement: Statement) throws(DockerfileError) -> ArgInstruction {
        let line = statement.line
        let words = statement.quotedWords
        guard !words.isEmpty else { throw statement.fault("at least one name is needed") }
        var arguments: [ArgInstruction.Argument] = []
        for word in words {
            let split = line.bytes[word].firstIndex(of: UInt8(ascii: "="))
            guard split != word.lowerBound else {
                throw DockerfileError("ARG: the name before '=' is empty", at: line.range(word))
            }
            arguments.append(
                ArgInstruction.Argument(
                    name: line.word(word.lowerBound..<(split ?? word.upperBound)),
                    defaultValue: split.map { line.word(($0 + 1)..<word.upperBound) }))
        }
        return ArgInstruction(arguments: arguments)
    }

    private func shell(_ statement: Statement) throws(DockerfileError) -> [String] {
        guard let words = try statement.jsonWords(), !words.isEmpty else {
            throw statement.fault("the JSON form is needed", hint: #"write SHELL ["/bin/sh", "-c"]"#)
        }
        return words.map(\.text)
    }

    private func volumes(_ statement: Statement) throws(DockerfileError) -> [Word] {
        let json = try statement.jsonWords()
        let volumes = if let json { json } else { try words(statement) }
        guard !volumes.isEmpty else { throw statement.fault("at least one path is needed") }
        if let empty = volumes.first(where: { $0.text.allSatisfy(\.isWhitespace) }) {
            throw DockerfileError("VOLUME: a path is empty", at: empty.range)
        }
        return volumes
    }

    private func stopSignal(_ statement: Statement) throws(DockerfileError) -> Word {
        let word = try rest(statement)
        // With a variable in it, it can be judged only once it is expanded.
        if !word.text.contains("$") { try StopSignal.check(word, escape: statement.escape) }
        return word
    }
}
