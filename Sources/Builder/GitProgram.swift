import Glibc
import SystemIO
import SystemPackage

/// The `git` program, with the credentials of one repository and without questions to a terminal.
struct GitProgram: Sendable {
    private let environment: [String]
    private let credentials: GitCredentials
    private let cancellation: Cancellation
    /// What helps where a repository wants credentials and none were given.
    private let credentialHint: String

    /// How long one call may take: the clone of a large repository over a slow line ends within it.
    private static let timeout = Duration.seconds(1800)

    /// - Parameters:
    ///   - environment: what the program needs of the user's own (`PATH`, `HOME`, proxies).
    ///   - credentialHint: what to do where a repository wants credentials and none were given.
    init(
        environment: [String], credentials: GitCredentials, for location: GitLocation?, cancellation: Cancellation,
        credentialHint: String = "set GIT_TOKEN, GIT_TOKEN_FILE, or GIT_USERNAME and GIT_PASSWORD"
    ) {
        var configuration: [(String, String)] = [
            // The same files on every machine, whatever its user configured.
            ("core.autocrlf", "false"), ("core.symlinks", "true"), ("core.fsmonitor", "false"),
            ("core.hooksPath", "/dev/null"),
            ("advice.detachedHead", "false"), ("gc.auto", "0"), ("maintenance.auto", "false"), ("safe.directory", "*"),
        ]
        var secrets: [String] = []
        if let username = credentials.username, let host = location?.host, let url = location?.url {
            // git asks a helper, and only for this host; the values are in the environment of git alone: in no argument
            // list, and in no file.
            let scheme = url.hasPrefix("http://") ? "http" : "https"
            configuration += [
                ("credential.helper", ""),
                (
                    "credential.\(scheme)://\(host).helper",
                    #"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$IMGBUILD_GIT_USERNAME" "$IMGBUILD_GIT_PASSWORD"; }; f"#
                ),
            ]
            secrets = ["IMGBUILD_GIT_USERNAME=\(username)", "IMGBUILD_GIT_PASSWORD=\(credentials.password ?? "")"]
        }
        if let header = credentials.header, let origin = location?.origin {
            // Helpers hand out names and passwords only. As a header of git's own it would go along with a redirect to
            // another host, so none is followed.
            configuration += [
                ("credential.helper", ""), ("http.followRedirects", "false"),
                ("http.\(origin)/.extraHeader", "Authorization: \(header)"),
            ]
        }
        let numbered = configuration.enumerated().flatMap { index, pair in
            ["GIT_CONFIG_KEY_\(index)=\(pair.0)", "GIT_CONFIG_VALUE_\(index)=\(pair.1)"]
        }
        self.environment =
            environment + secrets + numbered
            + [
                "GIT_CONFIG_COUNT=\(configuration.count)", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=",
                "LC_ALL=C",
            ]
        self.credentials = credentials
        self.cancellation = cancellation
        self.credentialHint = credentialHint
    }

    /// What one call of git came to.
    struct Answer {
        let succeeded: Bool
        let output: String
        let errors: String

        var firstLine: String {
            output.split(separator: "\n", maxSplits: 1).first.map(String.init) ?? ""
        }

        /// Whether the server has the repository but will not give out this object by its name.
        var refusesCommit: Bool {
            errors.contains("not our ref") || errors.contains("unadvertised object")
                || errors.contains("remote error: upload-pack") || errors.contains("couldn't find remote ref")
        }
    }

    func attempt(_ arguments: [String], in folder: Directory) throws -> Answer {
        let result: ChildProcess.Captured
        do {
            let plan = ProcessPlan(["git", "-C", folder.path.string] + arguments, environment: environment)
            // Answers are names and short messages; progress is off.
            result = try ChildProcess.run(
                plan, capturing: 1 << 20, timeout: GitProgram.timeout, cancellation: cancellation)
        } catch {
            throw BuildError(
                "git cannot be run: \(error)",
                hint: "Git repositories need the git program: install it (apt-get install git)")
        }
        return Answer(
            succeeded: result.ending.status.isSuccess, output: String(decoding: result.output, as: UTF8.self),
            errors: String(decoding: result.error, as: UTF8.self))
    }

    func run(_ arguments: [String], in folder: Directory) throws {
        let answer = try attempt(arguments, in: folder)
        guard answer.succeeded else { throw BuildError("git \(arguments[0]) failed: \(reason(answer))") }
    }

    func line(_ arguments: [String], in folder: Directory) throws -> String {
        let answer = try attempt(arguments, in: folder)
        guard answer.succeeded else { throw BuildError("git \(arguments[0]) failed: \(reason(answer))") }
        return answer.firstLine
    }

    /// The committer's time of `HEAD`.
    ///
    /// Asked with plumbing alone: a folder's own configuration may name programs that the commands for people would run.
    func commitTime(in folder: Directory) throws -> Timestamp? {
        let line = try line(["rev-list", "--max-count=1", "--timestamp", "HEAD"], in: folder)
        return line.split(separator: " ").first.flatMap { Int64($0) }.map { Timestamp(seconds: $0) }
    }

    /// Which of repository, ref and commit a fetch failed on, and what to do.
    func explain(_ answer: Answer, _ location: GitLocation) -> BuildError {
        let errors = answer.errors
        if errors.contains("Authentication failed") || errors.contains("could not read Username")
            || errors.contains("could not read Password") || errors.contains("403")
        {
            guard credentials.areGiven else {
                return BuildError(
                    "the repository \(location.url) wants credentials, and none were given",
                    hint: credentialHint)
            }
            return BuildError(
                "the repository \(location.url) refused the credentials from \(credentials.origin)",
                hint: "check that they are valid and may read this repository")
        }
        if errors.contains("couldn't find remote ref"), let ref = location.ref {
            return BuildError(
                "the ref \(ref) does not exist in \(location.url)",
                hint: "write it in full, as refs/heads/main or refs/tags/v1")
        }
        if errors.contains("couldn't find remote ref") {
            return BuildError(
                "the repository \(location.url) has no default branch", hint: "name a ref: URL#refs/heads/main")
        }
        if errors.contains("not found") || errors.contains("does not appear to be a git repository")
            || errors.contains("does not exist")
        {
            return BuildError(
                "there is no Git repository at \(location.url), or it is private",
                hint: credentials.areGiven
                    ? "credentials came from \(credentials.origin)" : "for a private one: \(credentialHint)")
        }
        if credentials.header != nil, errors.contains("unable to update url base") || errors.contains("error: 30") {
            return BuildError(
                "the repository \(location.url) is redirected, and \(credentials.origin) goes to no other address",
                hint: "write the address that it leads to")
        }
        return BuildError("the repository \(location.url) could not be fetched: \(reason(answer))")
    }

    private func reason(_ answer: Answer) -> String {
        let lines = answer.errors.split(separator: "\n").filter { !$0.isEmpty }
        var text = lines.suffix(3).joined(separator: "; ")
        // A server or proxy may repeat what it was sent.
        let token = credentials.header?.split(separator: " ").last.map(String.init)
        for secret in [credentials.header, token, credentials.password].compactMap(\.self) where !secret.isEmpty {
            text = text.replacing(secret, with: "***")
        }
        return text.isEmpty ? "it gave no reason" : text
    }
}
