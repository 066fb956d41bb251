/// Reads the flags of one statement by name, and refuses those that nobody asked for.
struct FlagReader {
    private let statement: Statement
    private var known: [String] = []

    init(_ statement: Statement) {
        self.statement = statement
    }

    /// The value of a flag that may be given once.
    mutating func string(_ name: String) throws(DockerfileError) -> Word? {
        let words = try strings(name)
        if words.count > 1 {
            throw DockerfileError("the flag --\(name) is given twice", at: words[1].range)
        }
        return words.first
    }

    /// The values of a flag that may be repeated, in order.
    mutating func strings(_ name: String) throws(DockerfileError) -> [Word] {
        known.append(name)
        var words: [Word] = []
        for flag in statement.flags where flag.name == name {
            guard let value = flag.value else {
                throw DockerfileError(
                    "the flag --\(name) needs a value", at: flag.range, hint: "write --\(name)=<value>")
            }
            words.append(value)
        }
        return words
    }

    /// `--x`, `--x=true` or `--x=false`; `nil` if it is not there.
    mutating func boolean(_ name: String) throws(DockerfileError) -> Bool? {
        known.append(name)
        var result: Bool?
        for flag in statement.flags where flag.name == name {
            guard result == nil else {
                throw DockerfileError("the flag --\(name) is given twice", at: flag.range)
            }
            switch flag.value?.text.lowercased() {
            case nil, "true": result = true
            case "false": result = false
            default:
                throw DockerfileError(
                    "the flag --\(name) is true or false, not '\(flag.value?.text ?? "")'", at: flag.range)
            }
        }
        return result
    }

    /// The value of a flag that names one of the cases of `Value`.
    mutating func choice<Value>(_ name: String) throws(DockerfileError) -> Flagged<Value>?
    where Value: RawRepresentable & CaseIterable & Hashable & Sendable, Value.RawValue == String {
        guard let word = try string(name) else { return nil }
        guard let value = Value(rawValue: word.text) else {
            let names = Value.allCases.map(\.rawValue)
            throw DockerfileError(
                "the flag --\(name) cannot be '\(word.text)'", at: word.range,
                hint: Suggestion.hint(for: word.text, in: names) ?? "it is one of \(names.joined(separator: ", "))")
        }
        return Flagged(value: value, range: word.range)
    }

    /// - Throws: at the first flag that was not read.
    func finish() throws(DockerfileError) {
        for flag in statement.flags where !known.contains(flag.name) {
            let hint: String?
            if known.isEmpty {
                hint = "\(statement.keyword) takes no flags"
            } else {
                hint =
                    Suggestion.nearest(to: flag.name, in: known).map { "did you mean --\($0)?" }
                    ?? "\(statement.keyword) takes \(known.map { "--\($0)" }.joined(separator: ", "))"
            }
            throw DockerfileError("\(statement.keyword) has no flag --\(flag.name)", at: flag.range, hint: hint)
        }
    }
}
