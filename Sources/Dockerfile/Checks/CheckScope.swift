/// The state of a stage as far as the checks can know it.
struct CheckScope {
    /// `nil` if the variables of the first lines cannot be evaluated.
    private(set) var scope: StageScope?
    /// Whether all variables are known: those of the base image, too.
    let isComplete: Bool
    /// Whether the base, or an instruction, sets a shell.
    private(set) var hasShell: Bool
    /// Whether the Dockerfile itself says where the working directory is.
    var hasWorkdir = false
    /// ARGs without a value: empty, and yet nothing that was forgotten.
    private(set) var declared: Set<String> = []
    /// Variables whose values depend on an unknown base image.
    private var uncertain: Set<String> = []
    /// What ONBUILD leaves for stages on this one.
    private var triggers: [Instruction] = []
    private var fault: DockerfileError?

    /// On scratch, or on an image; `nil` for one that is not known.
    init(global: GlobalScope?, base: CheckInputs.Base?) {
        // The builder gives each image a PATH.
        scope = global.map {
            StageScope(global: $0, baseEnvironment: ["PATH=/usr/local/sbin:/usr/local/bin"] + (base?.environment ?? []))
        }
        isComplete = base != nil
        hasShell = base?.hasShell ?? false
        for text in base?.triggers ?? [] { runTrigger(text) }
    }

    /// On an earlier stage: what its ONBUILDs do is done.
    init(inheriting base: CheckScope) {
        self = base
        scope = base.scope.map { StageScope(inheriting: $0) }
        declared = []
        triggers = []
        fault = nil
        for trigger in base.triggers { obey(trigger) }
    }

    /// Bytes of its variables.
    var size: Int { scope?.size ?? 0 }

    /// The variables that are set.
    var names: [String] { scope.map { Array($0.names) } ?? [] }

    /// The error of the instruction that was evaluated, once.
    mutating func takeFault() -> DockerfileError? {
        defer { fault = nil }
        return fault
    }

    /// What a word becomes, and the variables in it that nobody set.
    struct Expanded {
        /// Of EXPOSE only: the text cut into ports.
        var words: [String]
        var text: String
        var unset: [String]
        var range: SourceRange
        /// Whether a base image that is not known might make it another text.
        var isCertain: Bool
    }

    /// Takes over what an instruction does.
    mutating func obey(_ instruction: Instruction) {
        evaluate(instruction, Record(keepsWords: false))
    }

    /// Takes over what an instruction does.
    ///
    /// - Returns: its words that the language expands.
    mutating func evaluate(_ instruction: Instruction) -> [Expanded] {
        let record = Record(keepsWords: true)
        evaluate(instruction, record)
        return record.words
    }

    private mutating func evaluate(_ instruction: Instruction, _ record: Record) {
        note(instruction)
        guard var changed = scope else { return }
        if fault == nil {
            do {
                let expanded = try changed.recording(instruction, isComplete, uncertain, record)
                scope = nil
                defer { scope = changed }
                try changed.apply(expanded)
                note(expanded, isCertain: record.isCertain, in: changed)
                return
            } catch {
                scope = changed
            }
        }
        record.words = evaluateFaulty(instruction)
    }

    /// As `evaluate`, for an instruction that a build could not carry out: what can be said of its words, one by one.
    private mutating func evaluateFaulty(_ instruction: Instruction) -> [Expanded] {
        let (words, isCertain) = expand(instruction)
        guard fault == nil, var changed = scope else { return words }
        do {
            try changed.apply(changed.expanded(instruction))
        } catch {
            if isCertain { fault = error }
        }
        return words
    }

    /// The words, and whether an unknown base image could make none of them different.
    private mutating func expand(_ instruction: Instruction) -> (words: [Expanded], isCertain: Bool) {
        guard let scope else { return ([], false) }
        let own = instruction.ownArguments
        var cutsWords = false
        if case .expose = instruction.kind { cutsWords = true }
        let written = instruction.expandedWords
        let words = written.compactMap {
            expand($0.word, quotes: $0.quotes, cutsWords: cutsWords, in: scope, own: own)
        }
        return (words, words.count == written.count && words.allSatisfy(\.isCertain))
    }

    private mutating func expand(
        _ word: Word, quotes: WordExpansion.Quotes, cutsWords: Bool, in scope: StageScope, own: Set<String>
    ) -> Expanded? {
        let (isComplete, uncertain) = (isComplete, uncertain)
        var isCertain = true
        var expansion = scope.expansion { name, value in
            if value == nil ? !isComplete : uncertain.contains(name) { isCertain = false }
        }
        expansion.quotes = quotes
        if quotes == .kept { expansion.escape = .backslash }
        do {
            let result = try expansion.result(of: word, cutsWords: cutsWords)
            return Expanded(
                words: result.words, text: result.text, unset: result.unset.filter { !own.contains($0) },
                range: word.range, isCertain: isCertain)
        } catch {
            // With what the base image sets, ${name:?} may be content.
            if isCertain { fault = fault ?? error }
            return nil
        }
    }

    private mutating func note(_ instruction: Instruction) {
        switch instruction.kind {
        case .shell: hasShell = true
        case .workdir: hasWorkdir = true
        case .onbuild(let onbuild):
            if let trigger = try? Instruction.parse(trigger: onbuild.trigger, at: onbuild.range) {
                triggers.append(trigger)
            }
        default: break
        }
    }

    /// Remembers what is known of the variables that an expanded instruction sets.
    private mutating func note(_ instruction: Instruction, isCertain: Bool, in scope: StageScope) {
        var names: [String] = []
        switch instruction.kind {
        case .env(let pairs): names = pairs.map(\.key.text)
        case .arg(let arg):
            names = arg.arguments.map(\.name.text)
            declared.formUnion(names.filter { scope[$0] == nil })
        default: return
        }
        guard isCertain else { return uncertain.formUnion(names) }
        if !uncertain.isEmpty { uncertain.subtract(names) }
    }

    private mutating func runTrigger(_ text: String) {
        guard let trigger = try? Instruction.parse(trigger: text, at: SourceRange(line: 1)) else { return }
        obey(trigger)
        fault = nil
    }
}

extension StageScope {
    /// The expanded instruction; `record` has what is known of its words.
    fileprivate func recording(
        _ instruction: Instruction, _ isComplete: Bool, _ uncertain: Set<String>, _ record: Record
    ) throws(DockerfileError) -> Instruction {
        let own = record.keepsWords ? instruction.ownArguments : []
        let observer = ExpansionObserver(
            didLookUp: { name, value in
                if value == nil ? !isComplete : uncertain.contains(name) { record.isWordCertain = false }
            },
            didExpand: { word, result in
                if record.keepsWords {
                    record.words.append(
                        CheckScope.Expanded(
                            words: result.words, text: result.text, unset: result.unset.filter { !own.contains($0) },
                            range: word.range, isCertain: record.isWordCertain))
                }
                record.endWord()
            })
        return try expanded(instruction, observer: observer)
    }
}

/// What an observer of one expansion collects.
private final class Record {
    let keepsWords: Bool
    /// Empty if they are not kept.
    var words: [CheckScope.Expanded] = []
    /// Whether an unknown base image could change none of the words.
    private(set) var isCertain = true
    /// The same of the word at hand.
    var isWordCertain = true

    init(keepsWords: Bool) {
        self.keepsWords = keepsWords
    }

    func endWord() {
        isCertain = isCertain && isWordCertain
        isWordCertain = true
    }
}

extension Instruction {
    /// The names that an ARG declares: a later word of it sees what an earlier one sets.
    fileprivate var ownArguments: Set<String> {
        guard case .arg(let arg) = kind else { return [] }
        return Set(arg.arguments.map(\.name.text))
    }

    /// The words in which variables are replaced, in order; quotes are kept in heredoc bodies.
    var expandedWords: [(word: Word, quotes: WordExpansion.Quotes)] {
        switch kind {
        case .add(let add):
            Self.words(add.sources, add.destination, add.options)
                + [add.checksum].compactMap { $0 }.map { ($0, .removed) }
        case .copy(let copy): Self.words(copy.sources, copy.destination, copy.options)
        case .arg(let arg):
            arg.arguments.flatMap { [$0.name, $0.defaultValue].compactMap { $0 } }.map { ($0, .removed) }
        case .env(let pairs), .label(let pairs): pairs.flatMap { [$0.key, $0.value] }.map { ($0, .removed) }
        case .expose(let expose): expose.words.map { ($0, .removed) }
        case .run(let run):
            run.mounts.flatMap { mount in
                mount.options.compactMap { option in
                    option.key == .from ? nil : option.value.map { (Word($0, range: mount.range), .removed) }
                }
            }
        case .stopsignal(let word), .user(let word), .workdir(let word): [(word, .removed)]
        case .volume(let words): words.map { ($0, .removed) }
        case .cmd, .entrypoint, .healthcheck, .maintainer, .onbuild, .shell: []
        }
    }

    private static func words(
        _ sources: [FileSource], _ destination: Word, _ options: FileOptions
    ) -> [(word: Word, quotes: WordExpansion.Quotes)] {
        var words: [(Word, WordExpansion.Quotes)] = []
        for flag in [options.chown, options.chmod] {
            if let flag { words.append((flag, .removed)) }
        }
        for source in sources {
            switch source {
            case .path(let word): words.append((word, .removed))
            case .heredoc(let heredoc) where heredoc.expands:
                words.append((Word(heredoc.contents, range: heredoc.range), .kept))
            case .heredoc: break
            }
        }
        return words + [(destination, .removed)]
    }
}
