/// The variables of the lines before the first `FROM`: what `FROM` lines may use, and what `ARG NAME` in a stage takes.
package struct GlobalScope: Sendable {
    package let arguments: BuildArguments
    package private(set) var variables = VariableList()
    let escape: UInt8
    /// Of all words of the Dockerfile.
    let budget = ExpansionBudget()

    /// Evaluates the global `ARG`s in order.
    ///
    /// - Throws: for a name or default value that cannot be expanded, and for what is no name.
    package init(_ dockerfile: Dockerfile, arguments: BuildArguments) throws(DockerfileError) {
        self.arguments = arguments
        escape = dockerfile.directives.escapeByte
        for (name, value) in arguments.automatic.sorted(by: { $0.key < $1.key }) {
            variables[name] = arguments.given[name] ?? value
        }
        for argument in dockerfile.globalArguments.flatMap(\.arguments) {
            let name = try expand(argument.name)
            try StageScope.checkName(Word(name, range: argument.name.range), of: "ARG")
            var value = arguments.given[name]
            if value == nil, let defaultValue = argument.defaultValue { value = try expand(defaultValue) }
            variables[name] = value
            try StageScope.check(variables, at: argument.name.range)
        }
    }

    /// A word of a `FROM` line with the variables replaced.
    ///
    /// - Throws: as `WordExpansion.expand(_:)`.
    package func expand(_ word: Word) throws(DockerfileError) -> String {
        let variables = variables
        return try WordExpansion(escape: escape, budget: budget) { variables[$0] }.expand(word)
    }
}
