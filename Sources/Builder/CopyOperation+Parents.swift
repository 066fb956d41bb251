import Dockerfile
import Layers
import SystemIO

extension CopyOperation {
    /// Plans what a written source of COPY --parents stands for, below the destination under its path in the source.
    ///
    /// Only what stands after a `/./` is kept of the path. Here `**` in a pattern spans folders, and no symlink after the
    /// `/./` is followed. Folders on the way have the mode and owner of the source's.
    /// - Throws: `BuildError` without a place if a literal source is missing, or the destination cannot take it.
    mutating func copyWithParents(_ written: Word, from source: Source) throws {
        let (start, rest) = Self.separatePivot(written.text)
        for folder in try source.matches(of: start) {
            guard folder.node.status.kind == .directory else {
                throw BuildError(
                    "'\(folder.name.relativeText)' is not a directory, and '\(written.text)' leads through it")
            }
            sourceNumber += 1
            if rest.isRoot {
                try copyContents(of: folder.path, from: source)
            } else if try Source.isWildcard(rest.text) {
                // What is not named is left out: the patterns of --exclude turned around.
                let words = ["**", "!" + rest.text].map { Word($0, range: written.range) }
                try copyContents(of: folder.path, from: source, only: IgnorePatterns(excluding: words))
            } else {
                let literal = try rest.components.flatMap { component in
                    try (WildcardPattern(parsing: Array(component)).literal ?? []) + [UInt8(ascii: "/")]
                }
                try copy(
                    source.nodes(to: ImagePath(cleaning: literal), below: folder.path), below: folder.path, from: source
                )
            }
        }
    }

    /// What stands before and after the first `/./`; the first is the root without one.
    private static func separatePivot(_ text: String) -> (start: String, rest: ImagePath) {
        let bytes = Array(text.utf8)
        let pivot = Array("/./".utf8)
        let place = bytes.indices.first { bytes[$0...].starts(with: pivot) }
        guard let place else { return ("/", ImagePath(cleaning: bytes)) }
        return (String(decoding: bytes[..<place], as: UTF8.self), ImagePath(cleaning: bytes[(place + pivot.count)...]))
    }
}
