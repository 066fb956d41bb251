/// `skip=A,B;error=true;experimental=C`: what a Dockerfile says about its own checks.
struct CheckDirective {
    private(set) var skips = Selection()
    private(set) var experimental = Selection()
    private(set) var failsBuild = false
    /// What it says that nobody understands.
    private(set) var faults: [(message: String, hint: String?)] = []

    struct Selection {
        var all = false
        var checks: Set<BuildCheck> = []

        func contains(_ check: BuildCheck) -> Bool { all || checks.contains(check) }
    }

    init() {}

    /// - Parameter ofInstruction: it stands above an instruction, where only `skip` has a meaning.
    init(parsing text: some StringProtocol, ofInstruction: Bool) {
        for part in text.split(separator: ";") {
            let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let key = Self.trimmed(words[0])
            guard !key.isEmpty || words.count == 2 else { continue }
            let value = words.count == 2 ? Self.trimmed(words[1]) : ""
            switch key.lowercased() {
            case "skip": select(value, in: \.skips)
            case "experimental" where !ofInstruction: select(value, in: \.experimental)
            case "error" where !ofInstruction: setError(value)
            case "experimental", "error":
                faults.append(
                    ("'\(key)' does not apply to one instruction", "write it in the first line of the Dockerfile"))
            default:
                let known = ofInstruction ? ["skip"] : ["skip", "error", "experimental"]
                faults.append(
                    (
                        "the check directive has no setting '\(key.prefix(64))'",
                        Suggestion.hint(for: key, in: known) ?? "it has \(known.joined(separator: ", "))"
                    ))
            }
        }
    }

    private mutating func setError(_ value: String) {
        switch value.lowercased() {
        case "true", "1": failsBuild = true
        case "false", "0": failsBuild = false
        default: faults.append(("'error' is true or false, not '\(value.prefix(64))'", nil))
        }
    }

    private mutating func select(_ value: String, in selection: WritableKeyPath<Self, Selection>) {
        for part in value.split(separator: ",") {
            let name = Self.trimmed(part)
            if name.lowercased() == "all" {
                self[keyPath: selection].all = true
            } else if let check = BuildCheck(named: name) {
                self[keyPath: selection].checks.insert(check)
            } else {
                let names = BuildCheck.allCases.map(\.rawValue)
                faults.append(("there is no check '\(name.prefix(64))'", Suggestion.hint(for: name, in: names)))
            }
        }
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        let kept = text.drop(while: \.isWhitespace)
        guard let last = kept.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(kept[...last])
    }
}
