/// Where a file of COPY or ADD comes from.
package enum FileSource: Hashable, Sendable {
    /// A path or wildcard pattern; for ADD also a URL or Git reference.
    case path(Word)
    /// A file written out in the Dockerfile. Docker copies these after all paths.
    case heredoc(Heredoc)

    package var range: SourceRange {
        switch self {
        case .path(let word): word.range
        case .heredoc(let heredoc): heredoc.range
        }
    }
}

/// What COPY and ADD have in common.
package struct FileOptions: Hashable, Sendable {
    package var chown: Word?
    package var chmod: Word?
    package var link = false
    /// Patterns in the manner of `.dockerignore`, relative to each source directory. Never expanded.
    package var excludes: [Word] = []

    /// The value of `--chmod`, once expanded. One that expands to nothing is not given, as in BuildKit.
    /// - Throws: if it is neither octal nor symbolic.
    package func mode() throws(DockerfileError) -> FileMode? {
        guard let chmod, !chmod.text.isEmpty else { return nil }
        return try FileMode(parsing: chmod)
    }
}

package struct CopyInstruction: Hashable, Sendable {
    /// At least one.
    package var sources: [FileSource]
    package var destination: Word
    package var options = FileOptions()
    package var parents = false
    /// A stage's name or index, a named context, or an image. Never expanded.
    package var from: Word?
}

package struct AddInstruction: Hashable, Sendable {
    /// At least one.
    package var sources: [FileSource]
    package var destination: Word
    package var options = FileOptions()
    package var checksum: Word?
    package var keepGitDirectory: Bool?
    /// `nil`: local archives are unpacked, remote ones are not.
    package var unpack: Bool?
}
