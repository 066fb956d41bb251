extension Parser {
    /// Parses the instruction behind `ONBUILD` to know that it is sound, and keeps its text.
    mutating func onbuild(_ statement: Statement) throws(DockerfileError) -> OnbuildInstruction {
        if let flag = statement.flags.first {
            throw DockerfileError(
                "ONBUILD has no flag --\(flag.name)", at: flag.range,
                hint: "flags belong behind the instruction's name: ONBUILD COPY --chown=1 a b")
        }
        guard !statement.arguments.isEmpty else { throw statement.fault("an instruction is needed") }
        let trigger = Statement(statement.line, from: statement.arguments.lowerBound, escape: statement.escape)
        guard !["ONBUILD", "FROM", "MAINTAINER"].contains(trigger.keyword) else {
            throw DockerfileError("ONBUILD cannot hold \(trigger.keyword)", at: trigger.keywordRange)
        }
        let firstBodyLine = lexer.next
        _ = try instruction(trigger)
        var text = statement.argumentText
        if lexer.next > firstBodyLine {
            let start = lexer.source.line(firstBodyLine).lowerBound
            let end = lexer.source.line(lexer.next - 1).upperBound
            text += "\n" + String(decoding: lexer.source.bytes[start..<end], as: UTF8.self)
        }
        return OnbuildInstruction(trigger: text, range: trigger.range)
    }
}

extension Instruction {
    /// Parses a trigger that a base image, or a stage of the same Dockerfile, left with ONBUILD.
    ///
    /// All errors and words name the place `range`, that of the `FROM`, since the trigger stands in no line of the
    /// Dockerfile.
    ///
    /// - Throws: if the text is not one instruction that ONBUILD may hold.
    package static func parse(trigger: String, at range: SourceRange) throws(DockerfileError) -> Instruction {
        do {
            return try parseTrigger(trigger, at: range)
        } catch {
            throw DockerfileError(
                "in the ONBUILD trigger '\(trigger.prefix { $0 != "\n" }.prefix(80))': \(error.message)", at: range,
                hint: error.hint)
        }
    }

    private static func parseTrigger(_ trigger: String, at range: SourceRange) throws(DockerfileError) -> Instruction {
        // Docker reads triggers with the default escape character, whatever the Dockerfile they come from said.
        var parser = Parser(lexer: Lexer(source: try SourceText(Array(trigger.utf8)), fixedRange: range))
        guard let line = parser.lexer.nextInstruction() else { throw DockerfileError("there is no instruction") }
        let statement = Statement(line, escape: .backslash)
        guard !["ONBUILD", "FROM", "MAINTAINER"].contains(statement.keyword) else {
            throw DockerfileError("\(statement.keyword) cannot be a trigger")
        }
        let instruction = try parser.instruction(statement)
        guard parser.lexer.nextInstruction() == nil else { throw DockerfileError("there is more than one instruction") }
        return instruction
    }
}
