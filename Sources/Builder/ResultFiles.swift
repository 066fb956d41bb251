import Glibc
import OCI
import SystemIO
import SystemPackage

/// The small files that tell the next step of a pipeline what was made: the digest, and the image's names with it.
///
/// They are written when everything else succeeded, and only then: a file that exists after a failed build lies.
struct ResultFiles {
    private let request: BuildRequest

    init(_ request: BuildRequest) {
        self.request = request
    }

    /// Makes sure, before any work, that every file that the build shall write can be written: nobody builds for an hour to learn
    /// that a folder is read-only. Nothing is written.
    func check() throws {
        for (flag, path) in [
            ("--tar-path", request.tarPath), ("--digest-file", request.digestFile),
            ("--image-name-with-digest-file", request.nameFile),
            ("--image-name-tag-with-digest-file", request.taggedNameFile),
        ] {
            guard let path else { continue }
            do { try OutputFile.check(path) } catch {
                throw BuildError("\(flag) \(path.printable) cannot be written: \(error)")
            }
        }
    }

    /// Writes each file that was asked for.
    func write(_ digest: Digest) throws {
        let names = request.destinations.map(\.kanikoName)
        let tagged = zip(names, request.destinations).map { name, destination in
            "\(name):\(destination.tag ?? "latest")@\(digest)\n"
        }
        // Kaniko's own forms: scripts read them.
        for (text, path) in [
            (digest.description, request.digestFile), (names.map { "\($0)@\(digest)\n" }.joined(), request.nameFile),
            (tagged.joined(), request.taggedNameFile),
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
