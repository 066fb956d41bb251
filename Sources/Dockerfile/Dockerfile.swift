/// A parsed Dockerfile: typed stages, and the text to point into.
package struct Dockerfile: Sendable {
    package var directives: ParserDirectives
    /// The `ARG`s before the first `FROM`, in order.
    package var globalInstructions: [Instruction]
    /// At least one.
    package var stages: [Stage]
    package var source: SourceText
    /// The first empty line within each continued instruction that has one, by the line of the instruction's keyword.
    package var emptyContinuations: [Int: Int]

    /// - Throws: at the first fault of the text.
    package init(parsing text: [UInt8]) throws(DockerfileError) {
        try self.init(parsing: SourceText(text))
    }

    package init(parsing text: String) throws(DockerfileError) {
        try self.init(parsing: Array(text.utf8))
    }

    /// For a caller that keeps the source, to show the lines of an error that this throws.
    package init(parsing source: SourceText) throws(DockerfileError) {
        self.source = source
        let result = try Parser.parse(source)
        directives = result.directives
        globalInstructions = result.globalInstructions
        stages = result.stages
        emptyContinuations = result.emptyContinuations
    }

    /// What the `ARG`s before the first `FROM` declare.
    package var globalArguments: [ArgInstruction] {
        globalInstructions.compactMap { if case .arg(let arg) = $0.kind { arg } else { nil } }
    }

    /// The lines around a place, as `SourceExcerpt` draws them.
    package func excerpt(around range: SourceRange) -> [String] {
        SourceExcerpt.excerpt(around: range, in: source)
    }
}
