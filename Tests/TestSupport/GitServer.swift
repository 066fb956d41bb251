package import SystemPackage

/// Bare Git repositories, served over plain HTTP from a free port of 127.0.0.1 by git's own backend. Ends with this object.
package final class GitServer: Sendable {
    /// One request, as the server saw it.
    package struct Request: Sendable, Equatable {
        package let method: String
        /// The path with its query.
        package let path: String
        package let status: Int
        /// The user's name of HTTP Basic, if one was sent.
        package let user: String?
    }

    package let port: UInt16
    /// `127.0.0.1:PORT`.
    package var host: String { "127.0.0.1:\(port)" }

    private let folder: TemporaryDirectory
    private let server: Server

    /// How a server's first requests fail.
    package enum Failure: Sendable {
        case status(Int)
        case cut, silence

        fileprivate var word: String {
            switch self {
            case .status(let status): "\(status)"
            case .cut: "cut"
            case .silence: "silence"
            }
        }
    }

    /// Starts a server that demands the name and password of `user`, or the value `header` of `Authorization`, for each
    /// request, if there is one.
    ///
    /// - Parameters:
    ///   - forbids: answers 403 to a wrong user, in place of 401.
    ///   - speaksOldProtocol: only the one in which a server may refuse to give out objects by their names.
    ///   - certificate: a certificate and its key in one file, for https.
    ///   - failures: what the first requests come to.
    package init(
        user: (name: String, password: String)? = nil, header: String? = nil, forbids: Bool = false,
        speaksOldProtocol: Bool = false,
        certificate: FilePath? = nil, failures: (count: Int, kind: Failure)? = nil
    ) throws {
        folder = try TemporaryDirectory()
        let repositories = try folder.makeDirectory("repositories")
        let program = Fixtures.programs.appending("git-http-server.py")
        var arguments = ["python3", program.string, repositories.string, folder.appending("requests").string]
        if let user { arguments += ["--user", "\(user.name):\(user.password)"] }
        if let header { arguments += ["--header", header] }
        if forbids { arguments.append("--forbid") }
        if speaksOldProtocol { arguments.append("--old-protocol") }
        if let certificate { arguments += ["--certificate", certificate.string] }
        if let failures { arguments += ["--fail", "\(failures.count)", failures.kind.word] }
        server = try Server(arguments, log: folder.appending("log"))
        port = try server.wait(for: "the port of the Git server") { log in
            log.split(separator: "\n").first.flatMap { UInt16($0) }
        }
    }

    /// The folder of the bare repositories.
    package var repositories: FilePath { folder.appending("repositories") }

    /// Ends the server; the repositories are removed with this object.
    package func stop() { server.stop() }

    /// The requests answered so far.
    package func requests() throws -> [Request] {
        guard let log = try? text(of: folder.appending("requests")) else { return [] }
        return log.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 4, let status = Int(words[2]) else { return nil }
            return Request(
                method: String(words[0]), path: String(words[1]), status: status,
                user: words[3] == "-" ? nil : String(words[3]))
        }
    }

    /// Makes the bare repository `name` (such as `acme/app.git`) with one commit of the files below `tree` on `main`.
    package func makeRepository(
        _ name: String, from tree: FilePath, configuration: [String: String] = [:]
    ) throws -> GitRepository {
        let path = try folder.makeDirectory("repositories").appending(name)
        let repository = try GitRepository(at: path, configuration: configuration)
        try repository.commit(tree)
        return repository
    }
}

/// A bare Git repository that tests commit to, with fixed names and dates.
package struct GitRepository: Sendable {
    package let path: FilePath

    /// Makes an empty bare repository; `configuration` sets keys such as `uploadpack.allowReachableSHA1InWant`.
    package init(at path: FilePath, configuration: [String: String] = [:]) throws {
        self.path = path
        try Program.require(
            ["git", "init", "--quiet", "--bare", "--initial-branch=main", path.string], environment: Self.environment)
        for (key, value) in configuration {
            try git(["config", key, value])
        }
    }

    /// Commits all files below `tree` to `branch`, on top of what is there, and returns the commit's id.
    @discardableResult
    package func commit(
        _ tree: FilePath, to branch: String = "main", message: String = "A commit",
        date: String = "2026-01-01T00:00:00Z"
    ) throws -> String {
        let index = try TemporaryDirectory()
        let extra = [
            "GIT_INDEX_FILE": index.appending("index").string, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date,
        ]
        try git(["--work-tree", tree.string, "add", "--all", "--force", "."], adding: extra, in: tree)
        let written = try git(["write-tree"], adding: extra)
        var arguments = ["commit-tree", "-m", message, written]
        if let parent = try? git(["rev-parse", "--verify", "--quiet", "refs/heads/\(branch)"]) {
            arguments += ["-p", parent]
        }
        let commit = try git(arguments, adding: extra)
        try git(["update-ref", "refs/heads/\(branch)", commit])
        return commit
    }

    /// Runs git on this repository, with no configuration of the machine or the user, and returns what it printed.
    @discardableResult
    package func git(
        _ arguments: [String], adding changes: [String: String] = [:], in folder: FilePath? = nil
    ) throws -> String {
        let environment = Self.environment.merging(changes) { _, new in new }
        let outcome = try Program.require(
            ["git", "--git-dir", path.string] + arguments, environment: environment, in: folder)
        return outcome.text.split(separator: "\n").joined(separator: "\n")
    }

    private static let environment = Program.environment(adding: [
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "A Tester", "GIT_AUTHOR_EMAIL": "tester@example.com",
        "GIT_COMMITTER_NAME": "A Tester", "GIT_COMMITTER_EMAIL": "tester@example.com",
    ])
}
