extension RunMount {
    /// Reads the value of `--mount`: comma-separated `key[=value]`, quoted as in CSV.
    ///
    /// - Throws: for an unknown key; if no value needs expansion, for all that `resolved()` refuses, too.
    init(parsing word: Word) throws(DockerfileError) {
        range = word.range
        options = []
        guard let fields = Self.fields(word.text) else {
            throw DockerfileError("--mount: the quotes of '\(word.text)' do not match", at: word.range)
        }
        for field in fields {
            let sign = field.utf8.firstIndex(of: UInt8(ascii: "="))
            let written = String(field[..<(sign ?? field.endIndex)])
            guard let key = Key(written.lowercased()) else {
                let known = Key.allCases.map(\.rawValue) + ["src", "dst", "destination", "ro", "rw"]
                throw DockerfileError(
                    "--mount has no option '\(written)'", at: word.range, hint: Suggestion.hint(for: written, in: known)
                )
            }
            options.append(
                Option(
                    key: key, written: written,
                    value: sign.map { String(Substring(field.utf8[field.utf8.index(after: $0)...])) }))
        }
        if let from, from.contains("$") {
            throw DockerfileError(
                "variables are not replaced in --mount from", at: word.range,
                hint: "name a stage for it: FROM \(from) AS source, then from=source")
        }
        if !needsExpansion { _ = try resolved() }
    }

    /// Whether expansion may change it.
    var needsExpansion: Bool { options.contains { $0.needsExpansion } }

    /// The mount with `expand` applied to every value but that of `from`.
    package func expanded(
        with expand: (Word) throws(DockerfileError) -> String
    ) throws(DockerfileError) -> RunMount {
        var mount = self
        for index in options.indices where options[index].key != .from {
            guard let value = options[index].value else { continue }
            mount.options[index].value = try expand(Word(value, range: range))
        }
        return mount
    }

    /// The fields of one line of CSV; `nil` if a quote is not closed.
    private static func fields(_ text: String) -> [String]? {
        guard text.utf8.contains(.doubleQuote) else {
            let bytes = text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
            return bytes.map { String(Substring($0)) }
        }
        var fields = [""]
        var characters = Array(text.unicodeScalars)[...]
        var isQuoted = false
        var atStart = true
        while let character = characters.popFirst() {
            if isQuoted, character == "\"" {
                if characters.first == "\"" {
                    fields[fields.count - 1].unicodeScalars.append("\"")
                    characters.removeFirst()
                } else {
                    isQuoted = false
                }
            } else if atStart, character == "\"" {
                isQuoted = true
            } else if character == ",", !isQuoted {
                fields.append("")
                atStart = true
                continue
            } else {
                fields[fields.count - 1].unicodeScalars.append(character)
            }
            atStart = false
        }
        return isQuoted ? nil : fields
    }
}

extension RunMount.Option {
    /// Whether expansion may change the value: it holds a variable, a quote or an escape.
    var needsExpansion: Bool {
        guard key != .from, let value else { return false }
        return value.utf8.contains { "$'\"\\`".utf8.contains($0) }
    }
}
