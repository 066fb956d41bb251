/// The variables of the lines before the first `FROM`: what `FROM` lines may use, and what `ARG NAME` in a stage takes.
///
/// Shared by the scopes of all stages.
package final class GlobalScope: Sendable {
    package let arguments: BuildArguments
    package let variables: VariableList
    let escape: UInt8
    /// Of all words of the Dockerfile.
    let budget: ExpansionBudget

    /// Evaluates the global `ARG`s in order.
    ///
    /// - Throws: for a name or default value that cannot be expanded, and for what is no name.
    package init(_ dockerfile: Dockerfile, arguments: BuildArguments) throws(DockerfileError) {
        let escape = dockerfile.directives.escapeByte
        let budget = ExpansionBudget()
        var variables = VariableList()
        for (name, value) in arguments.automatic.sorted(by: { $0.key < $1.key }) {
            variables[name] = arguments.given[name] ?? value
        }
        for argument in dockerfile.globalArguments.flatMap(\.arguments) {
            let before = variables
            let expansion = WordExpansion(escape: escape, budget: budget) { before[$0] }
            let name = try expansion.expand(argument.name)
            try StageScope.checkName(Word(name, range: argument.name.range), of: "ARG")
            var value = arguments.given[name]
            if value == nil, let defaultValue = argument.defaultValue { value = try expansion.expand(defaultValue) }
            variables[name] = value
            try StageScope.check(variables, at: argument.name.range)
        }
        self.arguments = arguments
        self.variables = variables
        self.escape = escape
        self.budget = budget
    }

    /// A word of a `FROM` line with the variables replaced.
    ///
    /// - Throws: as `WordExpansion.expand(_:)`.
    package func expand(_ word: Word) throws(DockerfileError) -> String {
        let variables = variables
        return try WordExpansion(escape: escape, budget: budget) { variables[$0] }.expand(word)
    }

    /// Expands words with a stage's variables, those in `local` before all.
    ///
    /// - Parameter didLookUp: told of each variable that is asked for, and its value.
    func expansion(
        of variables: VariableList, overriding local: [String: String] = [:],
        didLookUp: @escaping (String, String?) -> Void
    ) -> WordExpansion {
        WordExpansion(escape: escape, budget: budget) { name in
            let value = local[name] ?? variables[name]
            didLookUp(name, value)
            return value
        }
    }

    /// What `ARG name` or `ARG name=default` sets in a stage; `nil` if it only declares.
    func value(of name: String, defaultValue: String?) -> String? {
        arguments.given[name] ?? defaultValue ?? variables[name]
    }
}
