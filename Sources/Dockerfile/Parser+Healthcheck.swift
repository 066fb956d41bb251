extension Parser {
    func healthcheck(
        _ statement: Statement, _ flags: inout FlagReader
    ) throws(DockerfileError) -> HealthcheckInstruction {
        let interval = try Self.duration(flags.string("interval"))
        let timeout = try Self.duration(flags.string("timeout"))
        let startPeriod = try Self.duration(flags.string("start-period"))
        let startInterval = try Self.duration(flags.string("start-interval"))
        let retries = try Self.retries(flags.string("retries"))
        try flags.finish()

        let line = statement.line
        guard let word = statement.blankSeparated.first else {
            throw statement.fault("CMD or NONE is needed", hint: "write HEALTHCHECK CMD <command>")
        }
        let rest = line.trimmed(word.upperBound..<statement.arguments.upperBound)
        switch line.text(word).uppercased() {
        case "NONE":
            guard rest.isEmpty else {
                throw DockerfileError("HEALTHCHECK NONE takes no arguments", at: line.range(rest))
            }
            guard statement.flags.isEmpty else {
                throw DockerfileError("HEALTHCHECK NONE takes no flags", at: statement.flags[0].range)
            }
            return .none
        case "CMD":
            let command: CommandLine
            if let words = try statement.jsonWords(in: rest) {
                command = .exec(words.map(\.text))
            } else {
                command = .shell(line.text(rest))
            }
            guard command != .exec([]), command != .shell("") else {
                throw statement.fault("a command is needed after CMD")
            }
            return .check(
                Healthcheck(
                    command: command, interval: interval, timeout: timeout, startPeriod: startPeriod,
                    startInterval: startInterval, retries: retries))
        default:
            throw DockerfileError(
                "HEALTHCHECK: '\(line.text(word).prefix(64))' is neither CMD nor NONE", at: line.range(word),
                hint: "write HEALTHCHECK CMD <command>")
        }
    }

    private static func duration(_ word: Word?) throws(DockerfileError) -> Int64? {
        guard let word else { return nil }
        guard let nanoseconds = GoDuration.nanoseconds(word.text) else {
            throw DockerfileError("'\(word.text)' is no duration", at: word.range, hint: "write 30s, 1m30s or 500ms")
        }
        // 0 stands for the default; Docker refuses what is shorter than a millisecond.
        guard nanoseconds == 0 || nanoseconds >= 1_000_000 else {
            throw DockerfileError("a duration cannot be less than 1ms", at: word.range)
        }
        return nanoseconds
    }

    private static func retries(_ word: Word?) throws(DockerfileError) -> Int? {
        guard let word else { return nil }
        guard let retries = Int32(word.text), retries >= 0 else {
            throw DockerfileError("the flag --retries needs a number from 0, not '\(word.text)'", at: word.range)
        }
        return Int(retries)
    }
}
