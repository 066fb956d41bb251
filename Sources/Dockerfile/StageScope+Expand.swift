extension StageScope {
    /// The instruction with every word expanded that the language expands. All values are those from before it; only
    /// a later word of one ARG sees what an earlier one sets.
    ///
    /// The result is checked, too: modes, ports, signals and mounts are known to be sound.
    ///
    /// - Throws: at the first word that cannot be expanded or then is not what the instruction needs.
    package func expanded(_ instruction: Instruction) throws(DockerfileError) -> Instruction {
        try InstructionExpansion(scope: self, observer: nil).expanded(instruction)
    }

    /// As `expanded(_:)`, with somebody who is told of each variable and each word.
    func expanded(_ instruction: Instruction, observer: ExpansionObserver) throws(DockerfileError) -> Instruction {
        try InstructionExpansion(scope: self, observer: observer).expanded(instruction)
    }

    /// Variables are handed on as `NAME=value`, and many tools read them line by line: what would be another variable, or
    /// another value, there is no name.
    ///
    /// - Throws: for an expanded name that is empty, or holds `=` or a control character.
    static func checkName(_ name: Word, of keyword: String) throws(DockerfileError) {
        guard !name.text.isEmpty else { throw DockerfileError("\(keyword): the name is empty", at: name.range) }
        guard !name.text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f || $0 == UInt8(ascii: "=") }) else {
            throw DockerfileError(
                "\(keyword): '\(name.text)' cannot be the name of a variable", at: name.range,
                hint: "it holds '=' or a control character")
        }
    }
}

/// Told what happens while an instruction's words are expanded, in order.
struct ExpansionObserver {
    /// A variable was asked for, and had this value.
    let didLookUp: (String, String?) -> Void
    /// A word is done.
    let didExpand: (Word, WordExpansion.Result) -> Void
}

/// One expansion of one instruction.
private struct InstructionExpansion {
    let scope: StageScope
    let observer: ExpansionObserver?

    func expanded(_ instruction: Instruction) throws(DockerfileError) -> Instruction {
        var result = instruction
        switch instruction.kind {
        case .add(var add):
            add.sources = try sources(add.sources)
            add.destination = try word(add.destination)
            add.options = try options(add.options)
            add.checksum = try optional(add.checksum)
            result.kind = .add(add)
        case .copy(var copy):
            copy.sources = try sources(copy.sources)
            copy.destination = try word(copy.destination)
            copy.options = try options(copy.options)
            result.kind = .copy(copy)
        case .arg(let arg):
            result.kind = .arg(try self.arg(arg))
        case .env(let pairs):
            let pairs = try keyValues(pairs)
            for pair in pairs { try StageScope.checkName(pair.key, of: "ENV") }
            result.kind = .env(pairs)
        case .label(let pairs):
            result.kind = .label(try keyValues(pairs))
        case .expose(let expose):
            result.kind = .expose(try ports(expose))
        case .stopsignal(let signal):
            let signal = try word(signal)
            try StopSignal.check(expanded: signal)
            result.kind = .stopsignal(signal)
        case .user(let user):
            result.kind = .user(try word(user))
        case .volume(let paths):
            result.kind = .volume(try words(paths, emptyFault: "VOLUME: a path is empty"))
        case .workdir(let path):
            result.kind = .workdir(try words([path], emptyFault: "WORKDIR: the path is empty")[0])
        case .run(var run):
            for index in run.mounts.indices {
                run.mounts[index] = try run.mounts[index].expanded { (word) throws(DockerfileError) in
                    try text(of: word)
                }
                _ = try run.mounts[index].resolved()
            }
            result.kind = .run(run)
        case .cmd, .entrypoint, .healthcheck, .maintainer, .onbuild, .shell:
            break
        }
        return result
    }

    private func text(of word: Word) throws(DockerfileError) -> String {
        try expansion(of: word).text
    }

    private func expansion(
        of word: Word, overriding local: [String: String] = [:], quotes: WordExpansion.Quotes = .removed,
        escapes: WordExpansion.Escapes = .removed, cutsWords: Bool = false
    ) throws(DockerfileError) -> WordExpansion.Result {
        let (variables, observer) = (scope, observer)
        // In a heredoc's body, quotes are ordinary and the escape character is always a backslash.
        let escape = quotes == .kept ? UInt8.backslash : scope.escape
        let expander = WordExpansion(
            escape: escape, quotes: quotes, escapes: escapes, budget: scope.budget
        ) { name in
            let value = local[name] ?? variables[name]
            observer?.didLookUp(name, value)
            return value
        }
        let result = try expander.result(of: word, cutsWords: cutsWords)
        observer?.didExpand(word, result)
        return result
    }

    private func word(_ word: Word) throws(DockerfileError) -> Word {
        Word(try text(of: word), range: word.range)
    }

    private func optional(_ word: Word?) throws(DockerfileError) -> Word? {
        guard let word else { return nil }
        return try self.word(word)
    }

    private func words(_ words: [Word], emptyFault: String) throws(DockerfileError) -> [Word] {
        var result: [Word] = []
        for written in words {
            let expanded = try word(written)
            guard !expanded.text.isEmpty else {
                throw DockerfileError(emptyFault, at: written.range, hint: "'\(written.text)' expands to nothing")
            }
            result.append(expanded)
        }
        return result
    }

    private func sources(_ sources: [FileSource]) throws(DockerfileError) -> [FileSource] {
        var result: [FileSource] = []
        for source in sources {
            switch source {
            case .path(let path):
                // The text is a pattern, in which `\*` is no wildcard; in an address it would be nothing but a character.
                let isAddress = path.text.contains("://") || path.text.hasPrefix("git@")
                let expanded = try expansion(of: path, escapes: isAddress ? .removed : .keptBeforeWildcards)
                result.append(.path(Word(expanded.text, range: path.range)))
            case .heredoc(var heredoc):
                if heredoc.expands {
                    heredoc.contents = try expansion(of: Word(heredoc.contents, range: heredoc.range), quotes: .kept)
                        .text
                }
                result.append(.heredoc(heredoc))
            }
        }
        return result
    }

    private func options(_ options: FileOptions) throws(DockerfileError) -> FileOptions {
        var result = options
        result.chown = try optional(options.chown)
        result.chmod = try optional(options.chmod)
        _ = try result.mode()
        return result
    }

    private func keyValues(_ pairs: [KeyValue]) throws(DockerfileError) -> [KeyValue] {
        var result: [KeyValue] = []
        for pair in pairs {
            let key = try word(pair.key)
            guard !key.text.isEmpty else { throw DockerfileError("the name before '=' is empty", at: key.range) }
            result.append(KeyValue(key: key, value: try word(pair.value), isLegacy: pair.isLegacy))
        }
        return result
    }

    private func arg(_ arg: ArgInstruction) throws(DockerfileError) -> ArgInstruction {
        var result: [ArgInstruction.Argument] = []
        var local: [String: String] = [:]
        for argument in arg.arguments {
            let name = Word(try expansion(of: argument.name, overriding: local).text, range: argument.name.range)
            try StageScope.checkName(name, of: "ARG")
            var defaultValue: Word?
            if let written = argument.defaultValue {
                defaultValue = Word(try expansion(of: written, overriding: local).text, range: written.range)
            }
            local[name.text] = scope.value(of: name.text, defaultValue: defaultValue?.text)
            result.append(ArgInstruction.Argument(name: name, defaultValue: defaultValue))
        }
        return ArgInstruction(arguments: result)
    }

    private func ports(_ expose: ExposeInstruction) throws(DockerfileError) -> ExposeInstruction {
        var words: [Word] = []
        for word in expose.words {
            // A variable may hold several ports, so the text is cut only now.
            words += try expansion(of: word, cutsWords: true).words.map { Word($0, range: word.range) }
        }
        let expanded = ExposeInstruction(words: words)
        try expanded.check()
        return expanded
    }
}
