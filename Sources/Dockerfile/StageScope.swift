/// The variables of a stage at one of its instructions.
///
/// The builder's loop: `expanded(_:)` gives the instruction to obey, with the values from before it; `apply(_:)` then
/// takes over what an ENV or ARG assigns.
package struct StageScope: Sendable {
    /// Bytes of all variables of a stage together; `ENV a=$a$a` doubles with each line.
    package static let maximumSize = 16 << 20

    /// ENV and ARG together: the last assignment wins.
    private(set) var variables: VariableList
    private var environment: VariableList
    private var declared: [String] = []
    private var declaredNames: Set<String> = []
    let global: GlobalScope

    /// A stage on an image, whose configuration has these `NAME=value` texts, or on scratch with none.
    package init(global: GlobalScope, baseEnvironment: [String]) {
        self.global = global
        environment = VariableList(baseEnvironment)
        variables = environment
    }

    /// A stage on an earlier stage: all its variables are there, those of ARG included, but none is declared.
    package init(inheriting base: StageScope) {
        self = base
        declared = []
        declaredNames = []
    }

    /// Bytes of all variables.
    var size: Int { variables.size }

    /// The names of all variables that are set, in order.
    var names: some Sequence<String> { variables.variables.lazy.map(\.name) }

    /// The value of a variable as an instruction would see it.
    package subscript(name: String) -> String? { variables[name] }

    /// ENV only: what goes into the image configuration.
    package var configEnvironment: [String] { environment.assignments }

    /// ENV and ARG: what the Dockerfile itself gives to a RUN.
    package var ownVariables: VariableList { variables }

    /// ENV, ARG and the given proxies: what a RUN gets.
    package var runEnvironment: VariableList {
        var result = variables
        // A proxy that the Dockerfile sets itself stays.
        for proxy in global.arguments.proxyVariables where result[proxy.name] == nil {
            result[proxy.name] = proxy.value
        }
        return result
    }

    /// The `ARG`s of this stage in order of declaration with their values now, for the history of a RUN:
    /// `|2 A=1 B=2 /bin/sh -c ...`. One without a value has an empty one.
    package var declaredArguments: [VariableList.Variable] {
        declared.map { .init(name: $0, value: variables[$0] ?? "") }
    }

    /// Takes over what an expanded ENV or ARG assigns; other instructions assign nothing.
    ///
    /// - Throws: if the variables become larger than `maximumSize`.
    package mutating func apply(_ instruction: Instruction) throws(DockerfileError) {
        switch instruction.kind {
        case .env(let pairs):
            for pair in pairs {
                variables[pair.key.text] = pair.value.text
                environment[pair.key.text] = pair.value.text
            }
        case .arg(let arg):
            for argument in arg.arguments {
                let name = argument.name.text
                if declaredNames.insert(name).inserted { declared.append(name) }
                variables[name] = global.value(of: name, defaultValue: argument.defaultValue?.text)
            }
        default:
            return
        }
        try Self.check(variables, at: instruction.range)
    }

    /// A word with the variables replaced and the quotes removed.
    ///
    /// - Throws: as `WordExpansion.expand(_:)`.
    package func expand(_ word: Word) throws(DockerfileError) -> String {
        try expansion().expand(word)
    }

    /// Expands words with the variables of now.
    ///
    /// - Parameter didLookUp: told of each variable that is asked for, and its value.
    func expansion(didLookUp: @escaping (String, String?) -> Void = { _, _ in }) -> WordExpansion {
        global.expansion(of: variables, didLookUp: didLookUp)
    }

    static func check(_ variables: VariableList, at range: SourceRange) throws(DockerfileError) {
        guard variables.size <= maximumSize else {
            throw DockerfileError("all variables together are larger than \(maximumSize) bytes", at: range)
        }
    }
}
