extension Checker {
    mutating func checkFrom(_ stage: Stage, _ comments: CommentsAbove) {
        if let alias = stage.alias { checkName(stage, alias, comments) }
        checkPlatform(stage)
        guard stage.base.text.utf8.contains(UInt8(ascii: "$")) || stage.platform != nil else { return }
        let undeclared = checkVariables(stage)
        if !undeclared { checkDefault(stage) }
    }

    // MARK: The name

    private mutating func checkName(_ stage: Stage, _ alias: Stage.Alias, _ comments: CommentsAbove) {
        let name = alias.name.text.lowercased()
        if name != alias.name.text {
            find(
                .stageNameCasing, "the stage's name '\(alias.name.text)' is not in lower case", at: alias.name.range,
                hint: "write \(name)")
        }
        let keyword = Self.keyword(of: stage.original)
        if LetterCase(keyword) != LetterCase(alias.keyword.text) {
            find(
                .fromAsCasing, "'\(keyword)' and '\(alias.keyword.text)' are not in the same case",
                at: alias.keyword.range,
                hint: "write \(LetterCase(keyword) == .lower ? "as" : "AS")")
        }
        if let line = stageLines[name] {
            find(
                .duplicateStageName, "the stage of line \(line) is named '\(name)', too", at: alias.name.range,
                hint: "give each stage a name of its own")
        } else {
            stageLines[name] = stage.range.start.line
        }
        if name == "scratch" || name == "context" {
            find(
                .reservedStageName, "'\(name)' has a meaning of its own and cannot well be a stage's name",
                at: alias.name.range, hint: "choose another name")
        }
        checkDescription(comments, keyword: "FROM", names: [name])
    }

    mutating func checkDescription(_ comments: CommentsAbove, of arg: ArgInstruction) {
        checkDescription(comments, keyword: "ARG", names: arg.arguments.map(\.name.text))
    }

    private mutating func checkDescription(_ comments: CommentsAbove, keyword: String, names: [String]) {
        guard let (number, text) = comments.description else { return }
        let word = text.prefix { !$0.isWhitespace }
        guard !names.contains(where: { $0 == word }) else { return }
        let example = names.count == 1 ? names[0] : "<name>"
        let length = file.source.trimmedLine(number - 1).count
        find(
            .invalidDefinitionDescription, "the comment above \(keyword) does not begin with the name it describes",
            at: SourceRange(line: number, columns: 1..<(length + 1)),
            hint: "write '# \(example) <description>', or put an empty line behind the comment")
    }

    // MARK: The platform

    private mutating func checkPlatform(_ stage: Stage) {
        guard let platform = stage.platform else { return }
        if platform.text == "$TARGETPLATFORM" || platform.text == "${TARGETPLATFORM}" {
            find(
                .redundantTargetPlatform, "--platform=\(platform.text) is what FROM does anyway", at: platform.range,
                hint: "leave --platform out")
        }
        guard !platform.text.utf8.contains(UInt8(ascii: "$")) else { return }
        // A stage for one platform, chosen by its name later, says so: FROM --platform=linux/arm64 x AS build-arm64.
        let parts = platform.text.lowercased().split(separator: "/")
        guard !parts.contains(where: { stage.name?.contains($0) == true }) else { return }
        find(
            .fromPlatformFlagConstDisallowed, "--platform fixes '\(platform.text)', whatever is built for",
            at: platform.range,
            hint: "use $BUILDPLATFORM or another ARG, or put the platform into the stage's name")
    }

    // MARK: Variables

    /// Returns whether something is used that nobody declares.
    private mutating func checkVariables(_ stage: Stage) -> Bool {
        guard let global else { return false }
        var found = false
        for word in [stage.platform, stage.base].compactMap({ $0 }) {
            let expansion = WordExpansion(escape: global.escape, budget: global.budget) { global.variables[$0] }
            // A word that cannot be expanded is an error of the build.
            guard let result = try? expansion.result(of: word) else { continue }
            for name in result.unset where !declaredGlobals.contains(name) {
                found = true
                let declared = declaredGlobals
                let similar = suggestion(
                    for: name, in: global.variables.variables.map(\.name) + declared.sorted())
                find(
                    .undefinedArgInFrom, "no ARG before the first FROM declares '\(name)'", at: word.range,
                    hint: similar.map { "did you mean $\($0)?" } ?? "write ARG \(name)=<default> before the first FROM")
            }
        }
        return found
    }

    /// What FROM is without build arguments must be an image, too.
    private mutating func checkDefault(_ stage: Stage) {
        guard stage.base.text.utf8.contains(UInt8(ascii: "$")), let defaults else { return }
        guard let name = try? defaults.expand(stage.base) else { return }
        guard !Self.mayBeImage(name) else { return }
        find(
            .invalidDefaultArgInFrom,
            "without build arguments, '\(stage.base.text)' is \(name.isEmpty ? "empty" : "'\(name)', which is no image")",
            at: stage.base.range, hint: "give its ARG a default, or write ${NAME:-default}")
    }

    /// Whether a text has the form of an image's name: `host:port/path/name:tag@digest`.
    static func mayBeImage(_ text: String) -> Bool {
        var rest = text[...]
        if let at = rest.firstIndex(of: "@") {
            let digest = rest[rest.index(after: at)...].split(separator: ":", omittingEmptySubsequences: false)
            guard digest.count == 2, digest.allSatisfy({ isPart($0) }) else { return false }
            rest = rest[..<at]
        }
        var parts = rest.split(separator: "/", omittingEmptySubsequences: false)
        if let last = parts.popLast() {
            let tagged = last.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard tagged.allSatisfy({ isPart($0) }), tagged[0] == tagged[0].lowercased() else { return false }
        }
        for (index, part) in parts.enumerated() {
            // A host may have a port.
            let pieces =
                index == 0 ? part.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false) : [part]
            guard pieces.allSatisfy({ isPart($0) }) else { return false }
        }
        return true
    }

    private static func isPart(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, first.isLetter || first.isDigit || first == UInt8(ascii: "_") else {
            return false
        }
        return text.utf8.allSatisfy { $0.isLetter || $0.isDigit || "._-".utf8.contains($0) }
    }
}
