extension StageScope {
    /// The instruction with every word expanded that the language expands. All values are those from before it; only
    /// a later word of one ARG sees what an earlier one sets.
    ///
    /// The result is checked, too: modes, ports, signals and mounts are known to be sound.
    ///
    /// - Throws: at the first word that cannot be expanded or then is not what the instruction needs.
    package func expanded(_ instruction: Instruction) throws(DockerfileError) -> Instruction {
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
            for pair in pairs { try Self.checkName(pair.key, of: "ENV") }
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
                run.mounts[index] = try run.mounts[index].expanded { (word) throws(DockerfileError) in try expand(word)
                }
                _ = try run.mounts[index].resolved()
            }
            result.kind = .run(run)
        case .cmd, .entrypoint, .healthcheck, .maintainer, .onbuild, .shell:
            break
        }
        return result
    }

    private func word(_ word: Word) throws(DockerfileError) -> Word {
        Word(try expand(word), range: word.range)
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
                let expansion = expansion(escapes: isAddress ? .removed : .keptBeforeWildcards)
                result.append(.path(Word(try expansion.expand(path), range: path.range)))
            case .heredoc(var heredoc):
                if heredoc.expands {
                    // In a body, quotes are ordinary and the escape character is always a backslash.
                    let body = WordExpansion(quotes: .kept, budget: budget) { self[$0] }
                    heredoc.contents = try body.expand(Word(heredoc.contents, range: heredoc.range))
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

    private func arg(_ arg: ArgInstruction) throws(DockerfileError) -> ArgInstruction {
        var result: [ArgInstruction.Argument] = []
        var local: [String: String] = [:]
        for argument in arg.arguments {
            let expansion = expansion(overriding: local)
            let name = Word(try expansion.expand(argument.name), range: argument.name.range)
            try Self.checkName(name, of: "ARG")
            var defaultValue: Word?
            if let written = argument.defaultValue {
                defaultValue = Word(try expansion.expand(written), range: written.range)
            }
            local[name.text] = value(of: name.text, defaultValue: defaultValue?.text)
            result.append(ArgInstruction.Argument(name: name, defaultValue: defaultValue))
        }
        return ArgInstruction(arguments: result)
    }

    private func ports(_ expose: ExposeInstruction) throws(DockerfileError) -> ExposeInstruction {
        var words: [Word] = []
        for word in expose.words {
            // A variable may hold several ports, so the text is cut only now.
            words += try expansion().result(of: word).words.map { Word($0, range: word.range) }
        }
        let expanded = ExposeInstruction(words: words)
        try expanded.check()
        return expanded
    }
}
