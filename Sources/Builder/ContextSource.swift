import Dockerfile
package import Registry
package import SystemPackage

/// A tar, plain or compressed, that is a context.
package enum ContextArchive: Sendable {
    case file(FilePath)
    case standardInput
    case remote(RemoteArchive)
    case object(S3Object)
}

/// The address of a tar.
package struct RemoteArchive: Sendable {
    let url: HTTPURL
    let authorization: FileClient.Authorization?
}

extension BuildRequest.Source {
    /// The schemes that Kaniko takes and this builder does not, each with what to do in their place.
    private static let refused = [
        "gs": "gcloud storage cat gs://BUCKET/KEY | imgbuild --context tar://stdin ..."
    ]
    private static let known = ["dir", "tar", "git", "ssh", "git+ssh", "file", "https", "http", "s3"]

    /// Reads a `--context` in Kaniko's syntax.
    ///
    /// - Parameters:
    ///   - branch: in place of a Git context's ref.
    ///   - credentials: those for a Git repository.
    /// - Throws: `BuildError` for a context that is none, is of a kind that is not supported, or names a place that cannot be.
    package init(
        parsing context: String, branch: String? = nil, pullMethod: GitLocation.PullMethod = .https,
        credentials: (GitLocation) throws -> GitCredentials
    ) throws {
        func path(_ scheme: String) throws -> FilePath {
            let path = String(context.dropFirst(scheme.utf8.count))
            guard !path.isEmpty else { throw BuildError("the context '\(context)' names no path") }
            return FilePath(path)
        }
        if GitLocation.isGit(context) {
            let location = try GitLocation(parsing: context, branch: branch, pullMethod: pullMethod)
            self = .git(location, try credentials(location))
            return
        }
        switch context.scheme {
        case nil where context == "-": self = .archive(.standardInput)
        case nil:
            guard !context.isEmpty else { throw BuildError("the context is empty") }
            self = .folder(FilePath(context))
        case "dir": self = .folder(try path("dir://"))
        case "tar" where context == "tar://stdin": self = .archive(.standardInput)
        case "tar": self = .archive(.file(try path("tar://")))
        case "https", "http":
            let (address, user) = GitLocation.separateUser(context)
            guard let url = HTTPURL(parsing: address) else {
                throw BuildError("the context '\(GitLocation.redacted(context))' is no address")
            }
            let authorization = user.map {
                FileClient.Authorization(
                    user: $0.username, password: $0.password ?? "", origin: "the user information in the address")
            }
            self = .archive(.remote(RemoteArchive(url: url, authorization: authorization)))
        case "s3":
            do throws(RegistryError) {
                self = .archive(.object(try S3Object(parsing: context)))
            } catch {
                throw BuildError("the context cannot be used: \(error)", hint: error.hint)
            }
        case let scheme?:
            if let instead = Self.refused[scheme] {
                throw BuildError(
                    "contexts from \(scheme):// are not supported", hint: "pipe the archive in: \(instead)")
            }
            throw BuildError(
                "there are no contexts from \(scheme)://",
                hint: Suggestion.nearest(to: scheme, in: Self.known).map { "did you mean \($0)://?" }
                    ?? "a context is a folder, or begins with \(Self.known.map { $0 + "://" }.joined(separator: ", "))")
        }
    }
}
