/// What the caller of a build gives to its `ARG`s.
package struct BuildArguments: Hashable, Sendable {
    /// `--build-arg` values, taken literally.
    package var given: [String: String]
    /// The platform arguments: `TARGETARCH` and its like. Empty ones are set to empty.
    package var automatic: [String: String]

    /// The arguments that need no `ARG` to reach a RUN, in upper case.
    package static let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"]

    package init(given: [String: String] = [:], automatic: [String: String] = [:]) {
        self.given = given
        self.automatic = automatic
    }

    /// The proxies that were given, in both spellings.
    var proxyVariables: [VariableList.Variable] {
        Self.proxies.flatMap { name -> [VariableList.Variable] in
            guard let value = given[name] ?? given[name.lowercased()] else { return [] }
            return [.init(name: name, value: value), .init(name: name.lowercased(), value: value)]
        }
    }

    /// The given arguments that nothing in the Dockerfile declares, sorted, for a warning. Proxies and the arguments
    /// that steer the builder itself count as declared.
    package func undeclared(in dockerfile: Dockerfile) -> [String] {
        var declared: Set<String> = []
        for argument in dockerfile.globalArguments.flatMap(\.arguments) { declared.insert(argument.name.text) }
        for instruction in dockerfile.stages.flatMap(\.instructions) {
            if case .arg(let arg) = instruction.kind { declared.formUnion(arg.arguments.map(\.name.text)) }
        }
        return given.keys.filter { name in
            !declared.contains(name) && !Self.proxies.contains(name.uppercased()) && automatic[name] == nil
                && !name.hasPrefix("BUILDKIT_") && name != "SOURCE_DATE_EPOCH"
        }.sorted()
    }
}
