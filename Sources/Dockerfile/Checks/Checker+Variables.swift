extension Checker {
    /// All kept scopes together may hold this many bytes; a stage beyond it counts as one on an unknown image.
    private static let maximumScopeSize = 64 << 20

    /// The state in which a stage begins.
    func startScope(of stage: Stage) -> CheckScope {
        guard let global, let name = try? global.expand(stage.base) else {
            return CheckScope(global: global, base: nil)
        }
        if let scope = scopes[name.lowercased()] { return CheckScope(inheriting: scope) }
        if stageLines[name.lowercased()] == nil, name == "scratch" {
            return CheckScope(global: global, base: CheckInputs.Base(environment: []))
        }
        return CheckScope(global: global, base: inputs.bases[stage.index])
    }

    /// Keeps the state in which a stage ends for the stages on it.
    mutating func keep(_ scope: CheckScope, of stage: Stage) {
        guard let name = stage.name else { return }
        scopeSize += scope.size
        scopes[name] = scopeSize <= Self.maximumScopeSize ? scope : CheckScope(global: global, base: nil)
    }

    mutating func checkVariables(
        _ words: [CheckScope.Expanded], in scope: CheckScope, _ instruction: Instruction
    ) {
        for word in words {
            for name in word.unset where !isDefinedElsewhere(name, scope) {
                let isGlobal = declaredGlobals.contains(name) || global?.variables[name] != nil
                let similar = isGlobal ? nil : suggestion(for: name, in: scope.names)
                // An unknown base image may set any other name.
                guard scope.isComplete || isGlobal || similar != nil || !Self.mayBeSet(name) else { continue }
                var hint = similar.map { "did you mean $\($0)?" }
                if isGlobal, !declaredGlobals.contains(name) {
                    hint = "a stage must declare what it takes from the builder: write ARG \(name) in this stage"
                } else if isGlobal {
                    hint = "an ARG before the first FROM must be declared again: write ARG \(name) in this stage"
                } else if similar == nil, ["COPY", "ADD"].contains(instruction.name) {
                    hint = "to keep a '$', write \\$; in a heredoc, quote its name"
                }
                find(.undefinedVar, "the variable '\(name)' is not defined", at: word.range, hint: hint)
            }
        }
    }

    private func isDefinedElsewhere(_ name: String, _ scope: CheckScope) -> Bool {
        scope.declared.contains(name) || BuildArguments.proxies.contains(name.uppercased())
    }

    /// Whether an image's environment can hold a variable of this name: `$1` or `$@` it cannot.
    private static func mayBeSet(_ name: String) -> Bool {
        name.utf8.first.map { $0.isLetter || $0 == UInt8(ascii: "_") || $0 >= 0x80 } ?? false
    }

    /// A name that is near. Each call takes time linear in the names, so there are only so many.
    mutating func suggestion(for name: String, in known: @autoclosure () -> [String]) -> String? {
        guard suggestionsLeft > 0 else { return nil }
        suggestionsLeft -= 1
        return Suggestion.nearest(to: name, in: known().filter { $0 != name })
    }
}
