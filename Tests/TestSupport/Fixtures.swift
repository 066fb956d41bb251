package import SystemPackage

/// Where the repository keeps what tests are made from.
package enum Fixtures {
    /// The repository's root, found from this file's place in it.
    package static let repository = FilePath(#filePath).removingLastComponent().removingLastComponent()
        .removingLastComponent()

    /// The folder with the programs that make fixtures.
    package static let programs = repository.appending("Tests").appending("Fixtures")

    /// The folder with one image for each rule of the Dockerfile language.
    package static let testImages = repository.appending("testimages")
}
