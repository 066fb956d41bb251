extension Checker {
    /// - Parameter isLast: no instruction of the same name follows in the stage.
    mutating func check(_ instruction: Instruction, isLast: Bool, _ scope: inout CheckScope) {
        let hasWorkdir = scope.hasWorkdir
        let words = scope.evaluate(instruction)
        checkVariables(words, in: scope, instruction)
        switch instruction.kind {
        case .cmd(let command), .entrypoint(let command):
            checkRepetition(instruction, isLast: isLast)
            checkCommand(command, instruction, scope)
        case .healthcheck: checkRepetition(instruction, isLast: isLast)
        case .env(let pairs):
            checkFormat(pairs, instruction)
            for pair in pairs { checkSecret(pair.key, instruction) }
        case .label(let pairs): checkFormat(pairs, instruction)
        case .arg(let arg):
            for argument in arg.arguments { checkSecret(argument.name, instruction) }
        case .maintainer(let name):
            find(
                .maintainerDeprecated, "MAINTAINER is deprecated", at: instruction.range,
                hint: "write LABEL org.opencontainers.image.authors=\"\(name.text)\"")
        case .workdir: if !hasWorkdir { checkWorkdir(words) }
        case .expose: checkPorts(words)
        case .copy(let copy): if copy.from == nil { checkIgnored(copy.sources, instruction, words) }
        case .add(let add): checkIgnored(add.sources, instruction, words)
        case .onbuild, .run, .shell, .stopsignal, .user, .volume: break
        }
    }

    private mutating func checkRepetition(_ instruction: Instruction, isLast: Bool) {
        guard !isLast else { return }
        find(
            .multipleInstructionsDisallowed,
            "the stage has another \(instruction.name) after this one, which alone counts", at: instruction.range,
            hint: "remove this one")
    }

    private mutating func checkCommand(_ command: CommandLine, _ instruction: Instruction, _ scope: CheckScope) {
        // Who chose a shell wants it.
        guard case .shell(let text) = command, !text.isEmpty, !scope.hasShell else { return }
        find(
            .jsonArgsRecommended,
            "\(instruction.name) runs through a shell, which does not pass signals on to the program",
            at: instruction.range,
            hint: "write the JSON form, as \(instruction.name) [\"program\", \"argument\"], or choose a SHELL")
    }

    private mutating func checkFormat(_ pairs: [KeyValue], _ instruction: Instruction) {
        guard let pair = pairs.first, pair.isLegacy else { return }
        find(
            .legacyKeyValueFormat, "\(instruction.name) is written without '='", at: instruction.range,
            hint: "write \(instruction.name) \(pair.key.text)=<value>, with quotes around a value with blanks")
    }

    /// Parts of a variable's name, between underscores, that tell of a secret.
    private static let secretWords: Set = [
        "apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token",
    ]

    private mutating func checkSecret(_ name: Word, _ instruction: Instruction) {
        let parts = name.text.lowercased().split(separator: "_").map(String.init)
        guard !Self.secretWords.isDisjoint(with: parts), !parts.contains("public") else { return }
        find(
            .secretsUsedInArgOrEnv,
            "\(instruction.name) '\(name.text)' seems to be a secret, which everybody can read in the image",
            at: name.range, hint: "use RUN --mount=type=secret")
    }

    private mutating func checkWorkdir(_ words: [CheckScope.Expanded]) {
        guard let path = words.first, !path.text.isEmpty, path.text.utf8.first != .slash, path.isCertain else { return }
        find(
            .workdirRelativePath, "'\(path.text)' is relative to whatever directory the base image ends in",
            at: path.range, hint: "write an absolute path, as /\(path.text)")
    }

    private mutating func checkPorts(_ words: [CheckScope.Expanded]) {
        for word in words {
            for port in word.words {
                let parts = port.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2, parts[1] != parts[1].lowercased() {
                    find(
                        .exposeProtoCasing, "the protocol '\(parts[1])' is not in lower case", at: word.range,
                        hint: "write \(parts[0])/\(parts[1].lowercased())")
                }
                if parts[0].contains(":") {
                    find(
                        .exposeInvalidFormat,
                        "'\(port)' names an address or a port of the host, which an image cannot choose",
                        at: word.range, hint: "name the container's port alone")
                }
            }
        }
    }

    private mutating func checkIgnored(
        _ sources: [FileSource], _ instruction: Instruction, _ words: [CheckScope.Expanded]
    ) {
        guard !inputs.ignored.isEmpty else { return }
        let places = Set(sources.compactMap { if case .path(let word) = $0 { word.range } else { nil } })
        for word in words where places.contains(word.range) && word.isCertain {
            guard !word.text.contains(where: { "*?[".contains($0) }), !word.text.contains("://") else { continue }
            let path = PathText.joined("/", word.text).utf8.dropFirst()
            guard !path.isEmpty, let line = inputs.ignored.decidingLine(for: path) else { continue }
            // Something below it may be there nevertheless.
            guard !inputs.ignored.mayContainIncluded(path) else { continue }
            find(
                .copyIgnoredFile, "\(instruction.name) names '\(word.text)', which is not in the build context",
                at: word.range,
                hint: "it is excluded by line \(line.number) of \(inputs.ignoreFile) (\"\(line.text)\")")
        }
    }
}
