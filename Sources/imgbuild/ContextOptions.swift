import ArgumentParser
import Builder
import Dockerfile
import Glibc
import SystemIO
import SystemPackage

/// The flags that say what is built from, and how it is fetched.
struct ContextOptions: ParsableArguments {
    @Option(
        name: [.customShort("c"), .long],
        help: ArgumentHelp(
            "A folder (also dir://PATH), a Git repository as URL#REF#COMMIT, or a tar: tar://PATH, tar://stdin, https://...",
            discussion: "git:// on a host is fetched over https. REF and COMMIT may be empty.", valueName: "source"))
    var context = Self.usual

    /// Where Kaniko looks when no context is named.
    static let usual = "/workspace"

    @Option(
        name: .customLong("context-sub-path"),
        help: ArgumentHelp("A folder of the source that is the context in place of all of it.", valueName: "path"))
    var subPath: String?

    @Option(
        name: .customLong("git"),
        help: ArgumentHelp(
            "How a Git context is fetched: branch=NAME, depth=NUMBER, recurse-submodules=BOOL, single-branch=BOOL, insecure-skip-tls=BOOL. Repeatable.",
            valueName: "key=value"))
    var git: [String] = []

    @Option(
        name: .customLong("git-token-file"),
        help: ArgumentHelp(
            "A file with the token for the Git context (default: $GIT_TOKEN, $GIT_TOKEN_FILE).", valueName: "file"))
    var gitTokenFile: String?

    @Option(
        name: .customLong("git-ssh-key"),
        help: ArgumentHelp(
            "A private key for Git over SSH (default: $GIT_SSH_KEY_FILE, else the agent's and ~/.ssh).",
            valueName: "file"))
    var gitSSHKey: String?

    @Option(
        name: .customLong("git-ssh-known-hosts"),
        help: ArgumentHelp(
            "The keys of hosts for Git over SSH (default: $GIT_SSH_KNOWN_HOSTS_FILE, else ~/.ssh/known_hosts).",
            valueName: "file"))
    var gitSSHKnownHosts: String?

    func validate() throws {
        let values = [
            ("--context", context), ("--context-sub-path", subPath), ("--git-token-file", gitTokenFile),
            ("--git-ssh-key", gitSSHKey), ("--git-ssh-known-hosts", gitSSHKnownHosts),
        ]
        // Workflow parameters that were not set arrive as empty strings; only a sub-path means something then: all of it.
        for (flag, value) in values where value?.isEmpty == true && flag != "--context-sub-path" {
            throw ValidationError("\(flag) has an empty value")
        }
    }

    /// - Throws: `ValidationError` for a context that is none, and for credentials that cannot be read.
    func source(_ environment: [String: String]) throws -> BuildRequest.Source {
        let method = environment["GIT_PULL_METHOD"].flatMap { $0.isEmpty ? nil : $0 } ?? "https"
        guard let pullMethod = GitLocation.PullMethod(rawValue: method) else {
            throw ValidationError("GIT_PULL_METHOD is '\(method)': it may be https or http")
        }
        let flags = try GitFlags(git)
        do {
            let source = try BuildRequest.Source(
                parsing: context, branch: flags.branch, pullMethod: pullMethod,
                credentials: { try credentials(for: $0, environment) })
            if case .git = source { return source }
            guard git.isEmpty else { throw ValidationError("--git \(git[0]): the context is no Git repository") }
            return source
        } catch let error as BuildError {
            throw ValidationError(error.message + (error.hint.map { "\nhint: \($0)" } ?? ""))
        }
    }

    func gitSettings(_ environment: [String: String]) throws -> GitSettings {
        func path(_ flag: String?, _ variable: String) -> FilePath? {
            (flag ?? environment[variable]).flatMap { $0.isEmpty ? nil : FilePath($0) }
        }
        var settings = try GitFlags(git).settings
        settings.sshKey = path(gitSSHKey, "GIT_SSH_KEY_FILE")
        settings.sshKnownHosts = path(gitSSHKnownHosts, "GIT_SSH_KNOWN_HOSTS_FILE")
        let names = ["GIT_SSH_COMMAND", "GIT_SSH"]
        if let command = names.first(where: { environment[$0]?.isEmpty == false }), gitSSHKey ?? gitSSHKnownHosts != nil
        {
            throw ValidationError(
                "--git-ssh-key and --git-ssh-known-hosts have no effect beside \(command), which says all of how ssh is called"
            )
        }
        return settings
    }

    // MARK: Credentials

    /// `--git-token-file`, `GIT_TOKEN`, `GIT_TOKEN_FILE`, `GIT_USERNAME` and `GIT_PASSWORD`, then what the URL carries.
    private func credentials(
        for location: GitLocation, _ environment: [String: String]
    ) throws -> GitCredentials {
        func present(_ name: String) -> String? {
            environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        func token(_ text: String, _ origin: String) throws -> GitCredentials {
            GitCredentials(
                token: try Self.secret(text, origin), username: present("GIT_USERNAME"), host: location.host,
                origin: origin)
        }
        if let path = gitTokenFile {
            return try token(Self.read(path, "--git-token-file"), "--git-token-file (\(path))")
        }
        if let text = present("GIT_TOKEN") { return try token(text, "GIT_TOKEN") }
        if let path = present("GIT_TOKEN_FILE") {
            return try token(Self.read(path, "GIT_TOKEN_FILE"), "GIT_TOKEN_FILE (\(path))")
        }
        if let username = present("GIT_USERNAME") {
            return GitCredentials(
                username: try Self.secret(username, "GIT_USERNAME"),
                password: try present("GIT_PASSWORD").map { try Self.secret($0, "GIT_PASSWORD") } ?? "",
                origin: "GIT_USERNAME and GIT_PASSWORD")
        }
        if let user = location.userInformation {
            let origin = "the user information in the URL"
            return GitCredentials(
                username: try Self.secret(user.username, origin),
                password: try Self.secret(user.password ?? "", origin),
                origin: origin)
        }
        return .none
    }

    private static func read(_ path: String, _ flag: String) throws -> String {
        do {
            // A token is short; 64 KiB is no token.
            let bytes = try OwnedDescriptor.open(FilePath(path), O_RDONLY).readAll(limit: 64 * 1024)
            guard bytes.contains(where: { $0 > 0x20 }) else { throw ValidationError("\(flag): '\(path)' is empty") }
            return String(decoding: bytes, as: UTF8.self)
        } catch let error as SystemError {
            throw ValidationError("\(flag): \(error)")
        }
    }

    /// A secret without the line end that `echo` put into it.
    ///
    /// - Throws: if there is another one inside: git's credential protocol has a line for each value.
    private static func secret(_ text: String, _ origin: String) throws -> String {
        var bytes = Array(text.utf8)[...]
        while let last = bytes.last, last <= 0x20 { bytes.removeLast() }
        while let first = bytes.first, first <= 0x20 { bytes.removeFirst() }
        guard !bytes.contains(where: { $0 == 0 || $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) else {
            throw ValidationError("\(origin): a secret of more than one line")
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// What the values of `--git` say.
private struct GitFlags {
    private(set) var branch: String?
    private(set) var settings = GitSettings()

    private static let keys = ["branch", "depth", "insecure-skip-tls", "recurse-submodules", "single-branch"]

    /// - Throws: `ValidationError` for a key that there is not, and a value that it does not take.
    init(_ values: [String]) throws {
        for text in values {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { throw ValidationError("--git '\(text)': expected key=value") }
            let (key, value) = (parts[0], parts[1])
            switch key {
            case "branch": branch = value.isEmpty ? nil : value
            case "depth":
                guard let depth = Int32(value), depth >= 0 else {
                    throw ValidationError("--git depth is '\(value)': expected a number of commits, or 0 for all")
                }
                settings.depth = Int(depth)
            case "recurse-submodules": settings.fetchesSubmodules = try Self.flag(key, value)
            case "insecure-skip-tls": settings.skipsTLSVerification = try Self.flag(key, value)
            // No more than one commit is ever fetched, unless it cannot be found otherwise.
            case "single-branch": _ = try Self.flag(key, value)
            default:
                let hint =
                    Suggestion.hint(for: key, in: Self.keys) ?? "there are \(Self.keys.joined(separator: ", "))"
                throw ValidationError("--git has no key '\(key)'\nhint: \(hint)")
            }
        }
    }

    /// As Go's `strconv.ParseBool` reads it, which Kaniko uses.
    private static func flag(_ key: String, _ value: String) throws -> Bool {
        switch value {
        case "1", "t", "T", "true", "TRUE", "True": return true
        case "0", "f", "F", "false", "FALSE", "False": return false
        default: throw ValidationError("--git \(key) is '\(value)': expected true or false")
        }
    }
}
