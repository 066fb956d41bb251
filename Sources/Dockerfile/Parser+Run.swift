extension Parser {
    mutating func run(_ statement: Statement, _ flags: inout FlagReader) throws(DockerfileError) -> RunInstruction {
        var mounts: [RunMount] = []
        for word in try flags.strings("mount") { mounts.append(try RunMount(parsing: word)) }
        let network: Flagged<RunInstruction.Network>? = try flags.choice("network")
        let security: Flagged<RunInstruction.Security>? = try flags.choice("security")
        let devices = try flags.strings("device")
        try flags.finish()
        let (command, heredocs) = try runCommand(statement)
        return RunInstruction(
            command: command, heredocs: heredocs, mounts: mounts, network: network, security: security,
            devices: devices)
    }

    private mutating func runCommand(
        _ statement: Statement
    ) throws(DockerfileError) -> (RunInstruction.Command, [Heredoc]) {
        guard !statement.arguments.isEmpty else { throw statement.fault("a command is needed") }
        if let words = try statement.jsonWords() {
            guard !words.isEmpty else { throw statement.fault("a command is needed") }
            return (.exec(words.map(\.text)), [])
        }
        let words = HeredocWord.all(in: statement.line, statement.arguments)
        if words.count == 1, words[0].offsets == statement.arguments {
            let heredocs = try takeBodies(of: words)
            let heredoc = heredocs[0]
            guard heredoc.contents.hasPrefix("#!") else { return (.shell(heredoc.contents), heredocs) }
            try Self.checkFileName(of: heredoc)
            return (.script(name: heredoc.name, contents: heredoc.contents), heredocs)
        }
        // The shell reads the heredocs itself, so it gets the bodies as written, tabs included.
        var text = statement.argumentText
        var heredocs: [Heredoc] = []
        for word in words {
            let body = String(decoding: try lexer.takeBody(of: word), as: UTF8.self)
            text += "\n\(body)\(word.name)"
            heredocs.append(Heredoc(name: word.name, contents: body, expands: word.expands, range: word.range))
        }
        return (.shell(text), heredocs)
    }
}
