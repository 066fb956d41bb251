/// The variables of the lines before the first `FROM`: what `FROM` lines may use, and what `ARG NAME` in a stage takes.
package struct GlobalScope: Sendable {
    package let arguments: BuildArguments
    package private(set) var variables = VariableList()
    let escape: UInt8

    /// Evaluates the global `ARG`s in order.
    ///
    /// - Throws: for a default value that cannot be expanded.
    package init(_ dockerfile: Dockerfile, arguments: BuildArguments) throws(DockerfileError) {
        self.arguments = arguments
        escape = dockerfile.directives.escapeByte
        for (name, value) in arguments.automatic.sorted(by: { $0.key < $1.key }) {
            variables[name] = arguments.given[name] ?? value
        }
        for argument in dockerfile.globalArguments.flatMap(\.arguments) {
            let name = try expand(argument.name)
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
        return try WordExpansion(escape: escape) { variables[$0] }.expand(word)
    }
}
