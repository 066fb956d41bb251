extension Parser {
    /// `FROM [--platform=P] IMAGE [AS NAME]`
    func stage(_ statement: Statement, index: Int) throws(DockerfileError) -> Stage {
        var flags = FlagReader(statement)
        let platform = try flags.string("platform")
        try flags.finish()
        let words = statement.blankSeparated.map(statement.line.word)
        guard words.count == 1 || words.count == 3 else {
            throw statement.fault(
                "an image, or an image, AS and a name are needed", hint: "write FROM <image> [AS <name>]")
        }
        var name: String?
        var alias: Stage.Alias?
        if words.count == 3 {
            guard words[1].text.uppercased() == "AS" else {
                throw DockerfileError(
                    "FROM: '\(words[1].text)' stands where AS is expected", at: words[1].range,
                    hint: "write FROM <image> AS <name>")
            }
            name = try Self.stageName(words[2])
            alias = Stage.Alias(keyword: words[1], name: words[2])
        }
        return Stage(
            index: index, name: name, alias: alias, base: words[0], platform: platform, instructions: [],
            range: statement.range, original: statement.original)
    }

    /// In lower case, as names of stages are compared.
    private static func stageName(_ word: Word) throws(DockerfileError) -> String {
        guard Stage.isName(word.text) else {
            throw DockerfileError(
                "'\(word.text)' cannot be a stage's name", at: word.range,
                hint: "a letter comes first, then letters, digits, '-', '_' and '.'")
        }
        return word.text.lowercased()
    }
}
