import ArgumentParser
import Builder
import OCI
import SystemPackage

/// The flags that say where an image goes, and what is written about it. Names and meanings are Kaniko's.
struct PublishOptions: ParsableArguments {
    @Option(
        name: [.customLong("dest"), .customShort("d"), .customLong("destination")],
        help: ArgumentHelp("Where the image is pushed, as registry/repository:tag. Repeatable.", valueName: "reference")
    )
    var destinations: [String] = []

    @Option(help: ArgumentHelp("Write the digest here, after everything else succeeded.", valueName: "file"))
    var digestFile: String?

    @Option(
        name: .customLong("image-name-with-digest-file"),
        help: ArgumentHelp(
            "Write a line repository@digest for each destination here, after everything else succeeded.",
            valueName: "file"))
    var nameFile: String?

    @Option(
        name: .customLong("image-name-tag-with-digest-file"),
        help: ArgumentHelp(
            "Write a line repository:tag@digest for each destination here, after everything else succeeded.",
            valueName: "file"))
    var taggedNameFile: String?

    @Flag(
        name: .customLong("skip-push-permission-check"),
        help: "Do not ask the registries before any work whether the image may be pushed.")
    var skipsPermissionCheck = false

    @Flag(
        name: .customLong("push-ignore-immutable-tag-errors"),
        help: "It is no failure when a tag exists that its registry does not let move.")
    var ignoresImmutableTags = false

    func validate() throws {
        for (flag, value) in [
            ("--digest-file", digestFile), ("--image-name-with-digest-file", nameFile),
            ("--image-name-tag-with-digest-file", taggedNameFile),
        ] where value?.isEmpty == true {
            throw ValidationError("\(flag) has an empty value")
        }
    }

    var files: ResultFiles {
        var files = ResultFiles()
        files.digest = digestFile.map { FilePath($0) }
        files.names = nameFile.map { FilePath($0) }
        files.taggedNames = taggedNameFile.map { FilePath($0) }
        return files
    }

    /// - Throws: `ValidationError` for what is no reference, or names a digest.
    func references() throws -> [ImageReference] {
        try destinations.map { text in
            let reference: ImageReference
            do { reference = try ImageReference(parsing: text) } catch { throw ValidationError("\(error)") }
            guard reference.digest == nil else {
                throw ValidationError("--dest \(reference): a destination has a tag, not a digest")
            }
            return reference
        }
    }
}
