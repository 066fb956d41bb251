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

    package struct Alias: Hashable, Sendable {
        package var keyword: Word
        package var name: Word
    }
}
