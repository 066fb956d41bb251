import Glibc
import SystemIO
import SystemPackage

/// The `git` program, with the credentials of one repository and without questions to a terminal.
struct GitProgram: Sendable {
    /// Whether git-lfs is there, and fetches large files when they are checked out.
    let fetchesLargeFiles: Bool
    private let environment: [String]
    private let credentials: GitCredentials
    private let ssh: GitSSH?
    private let patience: GitPatience
    private let cancellation: Cancellation
    private let report: EventSink
    /// What helps where a repository wants credentials and none were given.
    private let credentialHint: String

    /// - Parameters:
    ///   - environment: what the program needs of the user's own (`PATH`, `HOME`, proxies).
    ///   - settings: those of the context; its server's certificate goes unchecked only if `location` is the context's.
    ///   - credentialHint: what to do where a repository wants credentials and none were given.
    /// - Throws: `BuildError` for an SSH key or a file of known hosts that cannot be read.
    init(
        environment: [String], credentials: GitCredentials, for location: GitLocation?,
        settings: GitSettings = GitSettings(), patience: GitPatience = .standard, cancellation: Cancellation,
        report: @escaping EventSink = { _ in },
        credentialHint: String =
            "set GIT_TOKEN, GIT_TOKEN_FILE (--git-token-file), or GIT_USERNAME and GIT_PASSWORD"
    ) throws {
        let fetches = !GitProgram.skipsLargeFiles(environment) && GitProgram.finds("git-lfs", in: environment)
        fetchesLargeFiles = fetches
        var configuration =
            GitProgram.configuration + [
                // A transfer that has come to a stop ends, instead of waiting for ever.
                ("http.lowSpeedLimit", "1"), ("http.lowSpeedTime", "\(patience.stall.components.seconds)"),
            ]
        // Where git-lfs is configured and not there, git would give up in place of leaving the pointers.
        configuration += GitProgram.largeFileFilter.map { ($0.0, fetches ? $0.1 : "") }
        configuration.append(("filter.lfs.required", fetches ? "true" : "false"))
        if settings.skipsTLSVerification, let origin = location?.origin {
            configuration.append(("http.\(origin)/.sslVerify", "false"))
        }
        var variables: [String] = []
        if let username = credentials.username, let origin = location?.origin {
            // git asks a helper, and only for this host; the values are in the environment of git alone: in no argument
            // list, and in no file.
            configuration += [
                ("credential.helper", ""),
                (
                    "credential.\(origin).helper",
                    #"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$IMGBUILD_GIT_USERNAME" "$IMGBUILD_GIT_PASSWORD"; }; f"#
                ),
            ]
            variables = ["IMGBUILD_GIT_USERNAME=\(username)", "IMGBUILD_GIT_PASSWORD=\(credentials.password ?? "")"]
        }
        if let header = credentials.header, let origin = location?.origin {
            // Helpers hand out names and passwords only. As a header of git's own it would go along with a redirect to
            // another host, so none is followed.
            configuration += [
                ("credential.helper", ""), ("http.followRedirects", "false"),
                ("http.\(origin)/.extraHeader", "Authorization: \(header)"),
            ]
        }
        // Who names a command has said how it is to be.
        let namesSSH = ["GIT_SSH_COMMAND", "GIT_SSH"].contains {
            GitProgram.value(of: $0, in: environment)?.isEmpty == false
        }
        ssh = namesSSH ? nil : try GitSSH(settings, patience: patience)
        if let ssh { variables.append("GIT_SSH_COMMAND=\(ssh.command)") }
        let numbered = configuration.enumerated().flatMap { index, pair in
            ["GIT_CONFIG_KEY_\(index)=\(pair.0)", "GIT_CONFIG_VALUE_\(index)=\(pair.1)"]
        }
        // Debian's git has a TLS library of its own, which knows other names for these.
        for (name, own) in [("SSL_CERT_FILE", "GIT_SSL_CAINFO"), ("SSL_CERT_DIR", "GIT_SSL_CAPATH")]
        where GitProgram.value(of: own, in: environment) == nil {
            // Several folders stand with colons between them; git takes one.
            guard let path = GitProgram.value(of: name, in: environment)?.split(separator: ":").first else { continue }
            variables.append("\(own)=\(path)")
        }
        self.environment =
            environment.filter { !$0.hasPrefix("GIT_SSH_COMMAND=") || namesSSH } + variables + numbered
            + [
                "GIT_CONFIG_COUNT=\(configuration.count)", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=",
                "GIT_LFS_FORCE_PROGRESS=1", "LC_ALL=C",
            ]
        self.credentials = credentials
        self.patience = patience
        self.cancellation = cancellation
        self.report = report
        self.credentialHint = credentialHint
    }

    /// The same files on every machine, whatever its user configured.
    private static let configuration = [
        ("core.autocrlf", "false"), ("core.symlinks", "true"), ("core.fsmonitor", "false"),
        ("core.hooksPath", "/dev/null"), ("advice.detachedHead", "false"), ("gc.auto", "0"),
        ("maintenance.auto", "false"), ("safe.directory", "*"),
    ]

    /// What `git lfs install` writes into the configuration of a user.
    private static let largeFileFilter = [
        ("filter.lfs.clean", "git-lfs clean -- %f"), ("filter.lfs.smudge", "git-lfs smudge -- %f"),
        ("filter.lfs.process", "git-lfs filter-process"),
    ]

    /// Whether pointers are wanted in place of the files in Git LFS, which is said as git-lfs reads it.
    static func skipsLargeFiles(_ environment: [String]) -> Bool {
        !["", "0", "false"].contains(value(of: "GIT_LFS_SKIP_SMUDGE", in: environment) ?? "")
    }

    private static func value(of name: String, in environment: [String]) -> String? {
        environment.last { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.utf8.count + 1)) }
    }

    private static func finds(_ program: String, in environment: [String]) -> Bool {
        (value(of: "PATH", in: environment) ?? "").split(separator: ":").contains {
            FilePath(String($0)).appending(program).withPlatformString { access($0, X_OK) } == 0
        }
    }

    // MARK: Calls

    /// What one call of git came to.
    struct Answer {
        let output: String
        /// `nil` after success.
        let failure: GitFailure?

        var succeeded: Bool { failure == nil }

        var firstLine: String {
            output.split(separator: "\n", maxSplits: 1).first.map(String.init) ?? ""
        }
    }

    /// Runs git once.
    ///
    /// - Throws: `BuildError` if there is no git to run, or the build was cancelled. A git that fails is an answer.
    func attempt(_ arguments: [String], in folder: Directory) throws -> Answer {
        var messages = GitMessages(hiding: secrets, report: report)
        var output: [UInt8] = []
        let ending: ChildProcess.Ending
        do {
            var plan = ProcessPlan(["git", "-C", folder.path.string] + arguments, environment: environment)
            plan.output = .pipe
            plan.error = .pipe
            var child = try ChildProcess(plan)
            ending = try child.wait(
                deadline: ContinuousClock.now + patience.total, silence: patience.silence, cancellation: cancellation
            ) { stream, bytes in
                switch stream {
                case .error: messages.receive(bytes)
                // Answers are names; of a list that is longer than this the beginning does (bytes).
                case .output: output.append(contentsOf: bytes.prefix(16 << 20 - output.count))
                }
            }
        } catch {
            throw BuildError(
                "git cannot be run: \(error)",
                hint: "Git repositories need the git program: install it (apt-get install git)")
        }
        guard ending.interruption != .cancelled else { throw BuildError("git was stopped: the build was interrupted") }
        let timedOut = ending.interruption == .timedOut
        return Answer(
            output: String(decoding: output, as: UTF8.self),
            failure: ending.status.isSuccess && !timedOut
                ? nil : GitFailure(reading: messages.finish(), timedOut: timedOut, hiding: secrets))
    }

    /// Runs git, again if the network or the server failed.
    func transfer(_ arguments: [String], of location: GitLocation, in folder: Directory) throws -> Answer {
        for (number, pause) in patience.pauses.enumerated() {
            let answer = try attempt(arguments, in: folder)
            guard let failure = answer.failure, failure.isTemporary else { return answer }
            report(
                .warning(
                    "\(location.url) could not be fetched: \(failure.reason); try \(number + 2) of \(patience.pauses.count + 1) in \(pause)"
                ))
            try wait(pause)
        }
        return try attempt(arguments, in: folder)
    }

    private func wait(_ pause: Duration) throws {
        let end = ContinuousClock.now + pause
        while ContinuousClock.now < end {
            guard !cancellation.isCancelled else { throw BuildError("git was stopped: the build was interrupted") }
            // 50 milliseconds: how late a cancellation may be noticed.
            usleep(50_000)
        }
    }

    func run(_ arguments: [String], in folder: Directory) throws {
        _ = try line(arguments, in: folder)
    }

    func line(_ arguments: [String], in folder: Directory) throws -> String {
        let answer = try attempt(arguments, in: folder)
        if let failure = answer.failure { throw BuildError("git \(arguments[0]) failed: \(failure.reason)") }
        return answer.firstLine
    }

    /// The committer's time of `HEAD`.
    ///
    /// Asked with plumbing alone: a folder's own configuration may name programs that the commands for people would run.
    func commitTime(in folder: Directory) throws -> Timestamp? {
        let line = try line(["rev-list", "--max-count=1", "--timestamp", "HEAD"], in: folder)
        return line.split(separator: " ").first.flatMap { Int64($0) }.map { Timestamp(seconds: $0) }
    }

    /// What a failure means for this repository, and what to do.
    func explain(_ failure: GitFailure, _ location: GitLocation) -> BuildError {
        failure.error(location, credentials, credentialHint: credentialHint)
    }

    /// What servers may repeat and nobody may read. A name without a password is a token.
    private var secrets: [String] {
        let token = credentials.header?.split(separator: " ").last.map(String.init)
        let hidden = [credentials.header, token, credentials.password].compactMap(\.self).filter { !$0.isEmpty }
        return hidden.isEmpty ? [credentials.username ?? ""] : hidden
    }
}
