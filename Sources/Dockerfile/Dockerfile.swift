/// A parsed Dockerfile: typed stages, and the text to point into.
package struct Dockerfile: Sendable {
    package var directives: ParserDirectives
    /// The `ARG`s before the first `FROM`, in order.
    package var globalArguments: [ArgInstruction]
    /// At least one.
    package var stages: [Stage]
    package var source: SourceText

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
        (directives, globalArguments, stages) = try Parser.parse(source)
    }

    /// The lines around a place, as `SourceExcerpt` draws them.
    package func excerpt(around range: SourceRange) -> [String] {
        SourceExcerpt.excerpt(around: range, in: source)
    }
}
