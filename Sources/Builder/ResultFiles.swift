import Glibc
import OCI
import SystemIO
package import SystemPackage

/// The small files that tell the next step of a pipeline what was made: the digest, and the image's names with it.
///
/// They are written when everything else succeeded, and only then: a file that exists after a failed build lies.
package struct ResultFiles: Sendable {
    /// Gets the digest, without a newline, as Kaniko writes it.
    package var digest: FilePath?
    /// Gets a line `repository@digest` for each destination.
    package var names: FilePath?
    /// Gets a line `repository:tag@digest` for each destination.
    package var taggedNames: FilePath?

    package init() {}

    /// Makes sure, before any work, that every file can be written: nobody builds for an hour to learn that a folder is
    /// read-only. Nothing is written.
    ///
    /// - Parameter tar: the image itself as a file, if that is asked for.
    func check(tar: FilePath? = nil) throws {
        for (flag, path) in [
            ("--tar-path", tar), ("--digest-file", digest), ("--image-name-with-digest-file", names),
            ("--image-name-tag-with-digest-file", taggedNames),
        ] {
            guard let path else { continue }
            do { try OutputFile.check(path) } catch {
                throw BuildError("\(flag) \(path.printable) cannot be written: \(error)")
            }
        }
    }

    /// Writes each file that was asked for.
    func write(_ image: Digest, _ destinations: [ImageReference]) throws {
        let kanikoNames = destinations.map(\.kanikoName)
        let tagged = zip(kanikoNames, destinations).map { name, destination in
            "\(name):\(destination.tag ?? "latest")@\(image)\n"
        }
        // Kaniko's own forms: scripts read them.
        for (text, path) in [
            (image.description, digest), (kanikoNames.map { "\($0)@\(image)\n" }.joined(), names),
            (tagged.joined(), taggedNames),
        ] {
            guard let path else { continue }
            do { try OutputFile.write(Array(text.utf8), to: path) } catch {
                throw BuildError("the file '\(path.printable)' cannot be written: \(error)")
            }
        }
    }
}

extension ImageReference {
    /// `registry/repository` as Kaniko writes it: Docker Hub has the name of its index.
    fileprivate var kanikoName: String {
        (registry == ImageReference.dockerHub ? "index.docker.io" : registry) + "/" + repository
    }
}
