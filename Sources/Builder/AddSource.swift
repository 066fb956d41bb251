import Dockerfile
import OCI

/// A source of ADD that is no heredoc: what it is, is told by its text alone.
enum AddSource: Sendable {
    /// A path or pattern in the build context.
    case local(Word)
    case file(RemoteFile, Word)
    case git(GitSource, Word)

    /// Whether a source is fetched. COPY refuses these.
    static func isRemote(_ text: String) -> Bool {
        GitSource.isGit(text) || RemoteFile.isURL(text)
    }

    /// The sources of an ADD whose variables are replaced, with what its flags say of them.
    ///
    /// - Throws: at the word that is at fault: an address that is none, a checksum without one remote source, a flag that
    ///   contradicts an address.
    static func all(of add: AddInstruction) throws(DockerfileError) -> [AddSource] {
        var sources: [AddSource] = []
        for case .path(let word) in add.sources { sources.append(try AddSource(word, add)) }
        guard let checksum = add.checksum else { return sources }
        switch sources.first {
        case .file?, .git?:
            guard add.sources.count == 1 else {
                throw DockerfileError(
                    "--checksum is of one source, and here are \(add.sources.count)", at: checksum.range,
                    hint: "write an ADD for each")
            }
        default:
            throw DockerfileError(
                "--checksum is for URLs and Git repositories", at: checksum.range,
                hint: "what is in the build context needs none")
        }
        return sources
    }

    private init(_ word: Word, _ add: AddInstruction) throws(DockerfileError) {
        if GitSource.isGit(word.text) {
            var source = try GitSource(parsing: word)
            try source.apply(checksum: add.checksum, keepsGitFolder: add.keepGitDirectory, at: word.range)
            self = .git(source, word)
        } else if RemoteFile.isURL(word.text) {
            self = .file(try RemoteFile(parsing: word, checksum: add.checksum), word)
        } else {
            self = .local(word)
        }
    }

    /// Finds what `all(of:)` will find fault with before any work starts, where no variable or quote stands in the way.
    static func checkWritten(_ add: AddInstruction) throws(DockerfileError) {
        let words =
            add.sources.compactMap { if case .path(let word) = $0 { word } else { nil } }
            + [add.checksum].compactMap(\.self)
        guard words.allSatisfy({ word in !word.text.contains { "$\"'\\`".contains($0) } }) else { return }
        _ = try all(of: add)
    }
}

extension String {
    /// The text with the user information of addresses in it (`https://user:password@host`) hidden, character by character:
    /// marks below it still point at the right place.
    package var hidingUserInformation: String {
        var text = Array(self)
        var index = 0
        while index + 2 < text.count {
            guard text[index] == ":", text[index + 1] == "/", text[index + 2] == "/" else {
                index += 1
                continue
            }
            let start = index + 3
            let end = text[start...].firstIndex { "/?#\"' \t\n".contains($0) } ?? text.count
            // The user of ssh is part of the address, and no secret.
            let isSSH = text[..<index].suffix(3) == ["s", "s", "h"] && !text[start..<end].dropFirst().contains(":")
            if !isSSH, let at = text[start..<end].lastIndex(of: "@") {
                for hidden in start..<at { text[hidden] = "*" }
            }
            index = max(end, start)
        }
        return String(text)
    }
}
