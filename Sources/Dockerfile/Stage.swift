/// One `FROM` and the instructions up to the next.
package struct Stage: Hashable, Sendable {
    /// Counted from 0 over the whole Dockerfile.
    package var index: Int
    /// In lower case: names of stages do not depend on case.
    package var name: String?
    /// `AS` and the name as written, where the stage has a name.
    package var alias: Alias?
    /// An earlier stage's name, `scratch` or an image, as written: `ARG`s before the first `FROM` may stand in it.
    package var base: Word
    /// The value of `--platform`, as written.
    package var platform: Word?
    package var instructions: [Instruction]
    /// Where the `FROM` line stands.
    package var range: SourceRange
    /// The `FROM` line as written.
    package var original: String

    /// How messages name it: its name, else `stage-` and its index, as BuildKit shows it.
    package var label: String { name ?? "stage-\(index)" }

    /// Whether a text has the form of a stage's name: a letter, then letters, digits, `-`, `_` and `.`.
    static func isName(_ text: String) -> Bool {
        text.utf8.first?.isLetter == true
            && text.utf8.allSatisfy { $0.isLetter || $0.isDigit || "-_.".utf8.contains($0) }
    }

    /// Whether its FROM names this image, as it is written and with whatever tag or digest.
    func isBuilt(onImage name: String) -> Bool {
        base.text.hasPrefix(name)
            && (base.text.utf8.dropFirst(name.utf8.count).first.map { ":@".utf8.contains($0) } ?? true)
    }

    package struct Alias: Hashable, Sendable {
        package var keyword: Word
        package var name: Word
    }
}
