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
    // Not all of the scope, which has much more to copy.
    let variables: VariableList
    let global: GlobalScope
    let observer: ExpansionObserver?
    /// Of the words that hold nothing but text.
    private let ofWords: WordExpansion

    init(scope: StageScope, observer: ExpansionObserver?) {
        variables = scope.variables
        global = scope.global
        self.observer = observer
        ofWords = scope.expansion { name, value in observer?.didLookUp(name, value) }
    }

    /// Of sources, which are patterns: `\*` is no wildcard in them.
    private var ofPatterns: WordExpansion {
        var expansion = ofWords
        expansion.escapes = .keptBeforeWildcards
        return expansion
    }

    /// Of heredoc bodies: quotes are ordinary, and the escape character is always a backslash.
    private var ofBodies: WordExpansion {
        var expansion = ofWords
        expansion.quotes = .kept
        expansion.escape = .backslash
        return expansion
    }

    func expanded(_ instruction: Instruction) throws(DockerfileError) -> Instruction {
        Instruction(
            kind: try expanded(instruction.kind), range: instruction.range, original: instruction.original)
    }

    private func expanded(_ kind: Instruction.Kind) throws(DockerfileError) -> Instruction.Kind {
        switch kind {
        case .add(var add):
            add.sources = try sources(add.sources)
            add.destination = try word(add.destination)
            add.options = try options(add.options)
            add.checksum = try optional(add.checksum)
            return .add(add)
        case .copy(var copy):
            copy.sources = try sources(copy.sources)
            copy.destination = try word(copy.destination)
            copy.options = try options(copy.options)
            return .copy(copy)
        case .arg(let arg):
            return .arg(try self.arg(arg))
        case .env(let pairs):
            let pairs = try keyValues(pairs)
            for pair in pairs { try StageScope.checkName(pair.key, of: "ENV") }
            return .env(pairs)
        case .label(let pairs):
            return .label(try keyValues(pairs))
        case .expose(let expose):
            return .expose(try ports(expose))
        case .stopsignal(let signal):
            let signal = try word(signal)
            try StopSignal.check(expanded: signal)
            return .stopsignal(signal)
        case .user(let user):
            return .user(try word(user))
        case .volume(let paths):
            return .volume(try words(paths, emptyFault: "VOLUME: a path is empty"))
        case .workdir(let path):
            return .workdir(try words([path], emptyFault: "WORKDIR: the path is empty")[0])
        case .run(var run):
            // The parser has looked at the others.
            for index in run.mounts.indices where run.mounts[index].needsExpansion {
                run.mounts[index] = try run.mounts[index].expanded { (word) throws(DockerfileError) in
                    try text(of: word)
                }
                _ = try run.mounts[index].resolved()
            }
            return .run(run)
        case .cmd, .entrypoint, .healthcheck, .maintainer, .onbuild, .shell:
            return kind
        }
    }

    private func result(
        of word: Word, _ expansion: WordExpansion, cutsWords: Bool = false
    ) throws(DockerfileError) -> WordExpansion.Result {
        let result = try expansion.result(of: word, cutsWords: cutsWords)
        observer?.didExpand(word, result)
        return result
    }

    private func text(of word: Word) throws(DockerfileError) -> String {
        try result(of: word, ofWords).text
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
                // An address is no pattern: a backslash in it would be nothing but a character.
                let isAddress = path.text.contains("://") || path.text.hasPrefix("git@")
                let expanded = try self.result(of: path, isAddress ? ofWords : ofPatterns)
                result.append(.path(Word(expanded.text, range: path.range)))
            case .heredoc(var heredoc):
                if heredoc.expands {
                    heredoc.contents = try self.result(of: Word(heredoc.contents, range: heredoc.range), ofBodies).text
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
        // The parser has looked at one that stays as it is.
        if result.chmod != options.chmod { _ = try result.mode() }
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
            let (known, observer) = (local, observer)
            let expansion = global.expansion(of: variables, overriding: known) { name, value in
                observer?.didLookUp(name, value)
            }
            let name = Word(try self.result(of: argument.name, expansion).text, range: argument.name.range)
            try StageScope.checkName(name, of: "ARG")
            var defaultValue: Word?
            if let written = argument.defaultValue {
                defaultValue = Word(try self.result(of: written, expansion).text, range: written.range)
            }
            local[name.text] = global.value(of: name.text, defaultValue: defaultValue?.text)
            result.append(ArgInstruction.Argument(name: name, defaultValue: defaultValue))
        }
        return ArgInstruction(arguments: result)
    }

    private func ports(_ expose: ExposeInstruction) throws(DockerfileError) -> ExposeInstruction {
        var words: [Word] = []
        for word in expose.words {
            // A variable may hold several ports, so the text is cut only now.
            words += try result(of: word, ofWords, cutsWords: true).words.map { Word($0, range: word.range) }
        }
        let expanded = ExposeInstruction(words: words)
        try expanded.check()
        return expanded
    }
}
