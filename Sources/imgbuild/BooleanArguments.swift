/// A command line in which flags that are on or off have no values, and empty values stand by themselves.
///
/// Kaniko's flags take one (`--cache=true`, `--insecure=false`), and its users have them in their templates; the parser here
/// knows `--cache` and `--no-cache-run-layers`. For `--flag=`, which a parameter without a value makes, it knows `--flag ''`.
struct BooleanArguments {
    /// What the parser is given.
    private(set) var plain: [String] = []
    /// Flags whose value stood beside them (`--cache true`): Kaniko's own parser takes that for an argument of its own.
    private(set) var spaced: [String] = []

    /// Kaniko's boolean flags, each with what holds where it is left out. Those that are `true` can be turned off by `--no-NAME`.
    private static let flags: [String: Bool] = [
        "cache": false, "cache-copy-layers": true, "cache-run-layers": true, "cleanup": false,
        "compressed-caching": true, "dryrun": false, "force": false, "force-build-metadata": false,
        "ignore-var-run": true, "insecure": false, "insecure-pull": false, "log-timestamp": false,
        "materialize": false, "no-push": false, "no-push-cache": false, "pre-cleanup": false,
        "preserve-context": false, "push-ignore-immutable-tag-errors": false, "reproducible": false,
        "single-snapshot": false, "skip-default-registry-fallback": false, "skip-push-permission-check": false,
        "skip-tls-verify": false, "skip-tls-verify-pull": false, "skip-unused-stages": false, "use-new-run": false,
        "whitelist-var-run": true,
    ]

    /// - Parameter arguments: without the program's name.
    init(_ arguments: [String]) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument != "--" else {
                plain += [argument] + rest
                return
            }
            guard argument.hasPrefix("--") else {
                plain.append(argument)
                continue
            }
            let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            guard let usual = Self.flags[name] else {
                plain += parts.count == 2 && parts[1].isEmpty ? ["--\(name)", ""] : [argument]
                continue
            }
            var value = true
            if parts.count == 2 {
                guard let given = Self.value(parts[1]) else {
                    plain.append(argument)
                    continue
                }
                value = given
            } else if let next = rest.first, next == "true" || next == "false" {
                rest.removeFirst()
                value = next == "true"
                spaced.append("--\(name) \(next)")
            }
            switch (value, usual) {
            case (true, _): plain.append("--\(name)")
            case (false, true): plain.append("--no-\(name)")
            case (false, false): break
            }
        }
    }

    /// As Go's `strconv.ParseBool` reads it, and so Kaniko.
    static func value(_ text: Substring) -> Bool? {
        switch text {
        case "1", "t", "T", "true", "TRUE", "True": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: nil
        }
    }
}
