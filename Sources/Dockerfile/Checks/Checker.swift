/// One pass of the build checks over a Dockerfile.
///
/// `Checker+*.swift` hold the checks: of FROM, of instructions, of variables.
struct Checker {
    let file: Dockerfile
    let inputs: CheckInputs
    private let directive: CheckDirective
    private var report = CheckReport()
    /// What the comment above the instruction under check skips.
    private var skips = CheckDirective.Selection()

    /// The stages that a build carries out.
    let needed: Set<Int>
    /// The variables of FROM; `nil` if they cannot be evaluated.
    let global: GlobalScope?
    /// As `global`, if no build argument were given.
    let defaults: GlobalScope?
    let declaredGlobals: Set<String>
    /// The case that most keywords have.
    private let majority: LetterCase

    /// The line of the first stage of each name.
    var stageLines: [String: Int] = [:]
    /// What later stages may be built on, by the stage's name.
    var scopes: [String: CheckScope] = [:]
    /// Bytes of the variables that `scopes` holds.
    var scopeSize = 0
    /// Names that are still compared with all others: that is the one thing here that is not linear.
    var suggestionsLeft = 100

    init(_ file: Dockerfile, _ inputs: CheckInputs) {
        self.file = file
        self.inputs = inputs
        directive = CheckDirective(parsing: file.directives.check?.text ?? "", ofInstruction: false)
        report.failsBuild = directive.failsBuild
        var graph: StageGraph?
        do {
            graph = try StageGraph(file, target: inputs.target, arguments: inputs.arguments)
        } catch {
            report.fault = error
        }
        report.graph = graph
        needed = graph.map { Set($0.order) } ?? Set(file.stages.indices)
        global = graph?.global ?? Self.scope(file, inputs.arguments)
        defaults = Self.scope(file, BuildArguments(automatic: global?.arguments.automatic ?? [:]))
        declaredGlobals = Set(file.globalArguments.flatMap(\.arguments).map(\.name.text))
        majority = Self.majority(file)
    }

    private static func scope(_ file: Dockerfile, _ arguments: BuildArguments) -> GlobalScope? {
        do { return try GlobalScope(file, arguments: arguments) } catch { return nil }
    }

    mutating func run() -> CheckReport {
        if let word = file.directives.check { complain(of: directive, at: word.range) }
        guard !directive.skips.all else {
            // Nothing can be found; what a build would fail with is looked for all the same.
            for stage in file.stages { evaluate(stage) }
            return report
        }
        for instruction in file.globalInstructions {
            let comments = enter(instruction.range, original: instruction.original)
            if case .arg(let arg) = instruction.kind { checkDescription(comments, of: arg) }
        }
        for stage in file.stages { check(stage) }
        let order = report.findings.indices.sorted { a, b in
            (report.findings[a].range.start, a) < (report.findings[b].range.start, b)
        }
        report.findings = order.map { report.findings[$0] }
        return report
    }

    private mutating func check(_ stage: Stage) {
        let comments = enter(stage.range, original: stage.original)
        checkFrom(stage, comments)
        let isChecked = inputs.target == nil || needed.contains(stage.index)
        var scope = startedScope(of: stage)
        var last: [String: Int] = [:]
        for (index, instruction) in stage.instructions.enumerated() { last[instruction.name] = index }
        for (index, instruction) in stage.instructions.enumerated() {
            let comments = enter(instruction.range, original: instruction.original)
            if case .arg(let arg) = instruction.kind { checkDescription(comments, of: arg) }
            if isChecked {
                check(instruction, isLast: last[instruction.name] == index, &scope)
            } else {
                scope.obey(instruction)
            }
            takeFault(of: &scope, stage)
        }
        keep(scope, of: stage)
    }

    /// Looks for faults alone.
    private mutating func evaluate(_ stage: Stage) {
        var scope = startedScope(of: stage)
        for instruction in stage.instructions {
            scope.obey(instruction)
            takeFault(of: &scope, stage)
        }
        keep(scope, of: stage)
    }

    private mutating func startedScope(of stage: Stage) -> CheckScope {
        var scope = startScope(of: stage)
        // A build names the place where the trigger fires.
        if let fault = scope.takeFault(), needed.contains(stage.index) {
            report.fault = report.fault ?? DockerfileError(fault.message, at: stage.range, hint: fault.hint)
        }
        return scope
    }

    private mutating func takeFault(of scope: inout CheckScope, _ stage: Stage) {
        if let fault = scope.takeFault(), needed.contains(stage.index) { report.fault = report.fault ?? fault }
    }

    /// Begins with an instruction: reads the comments above it, and checks how it is written.
    private mutating func enter(_ range: SourceRange, original: String) -> CommentsAbove {
        let line = range.start.line
        let comments = CommentsAbove(line, in: file.source, from: file.directives.lineCount)
        skips = CheckDirective.Selection()
        for (number, value) in comments.directives {
            let directive = CheckDirective(parsing: value, ofInstruction: true)
            skips.all = skips.all || directive.skips.all
            skips.checks.formUnion(directive.skips.checks)
            let length = file.source.trimmedLine(number - 1).count
            complain(of: directive, at: SourceRange(line: number, columns: 1..<(length + 1)))
        }
        checkCase(of: original, at: range.start)
        if let empty = file.emptyContinuations[line] {
            find(
                .noEmptyContinuation, "an empty line stands within the instruction of line \(line)",
                at: SourceRange(line: empty), hint: "remove it, or the escape character at the end of the line before")
        }
        return comments
    }

    private mutating func complain(of directive: CheckDirective, at range: SourceRange) {
        for fault in directive.faults { find(.invalidCheckDirective, fault.message, at: range, hint: fault.hint) }
    }

    /// Adds a finding, unless it is skipped or must be asked for.
    mutating func find(_ check: BuildCheck, _ message: String, at range: SourceRange, hint: String? = nil) {
        guard !directive.skips.contains(check), !skips.contains(check) else { return }
        guard !check.isExperimental || directive.experimental.contains(check) else { return }
        report.findings.append(CheckFinding(check: check, message: message, range: range, hint: hint))
    }

    // MARK: Letter case

    private mutating func checkCase(of original: String, at start: SourcePosition) {
        let keyword = Self.keyword(of: original)
        guard LetterCase(keyword) != majority else { return }
        let wanted = majority == .lower ? keyword.lowercased() : keyword.uppercased()
        let columns = start.column..<(start.column + keyword.utf8.count)
        find(
            .consistentInstructionCasing,
            "\(keyword) is written unlike most instructions, which are in \(majority == .lower ? "lower" : "upper") case",
            at: SourceRange(line: start.line, columns: columns), hint: "write \(wanted)")
    }

    static func keyword(of original: String) -> Substring {
        let bytes = original.utf8
        return original[..<(bytes.firstIndex(where: \.isBlank) ?? bytes.endIndex)]
    }

    /// Upper case, unless more keywords are in lower case.
    private static func majority(_ file: Dockerfile) -> LetterCase {
        var balance = 0
        func count(_ original: String, _ name: String) {
            // Nearly all are written so, and need no look at their letters.
            if original.hasPrefix(name) { return balance += 1 }
            switch LetterCase(keyword(of: original)) {
            case .lower: balance -= 1
            case .upper: balance += 1
            case .mixed: break
            }
        }
        for instruction in file.globalInstructions { count(instruction.original, instruction.name) }
        for stage in file.stages {
            count(stage.original, "FROM")
            for instruction in stage.instructions { count(instruction.original, instruction.name) }
        }
        return balance < 0 ? .lower : .upper
    }
}

/// How the letters of a keyword are written.
enum LetterCase {
    case lower, upper, mixed

    init(_ keyword: some StringProtocol) {
        var hasLower = false
        var hasUpper = false
        for byte in keyword.utf8 where byte.isLetter {
            if byte & 0x20 == 0 { hasUpper = true } else { hasLower = true }
        }
        self = hasLower ? (hasUpper ? .mixed : .lower) : .upper
    }
}
