/// Why a call of git failed, read from what git, ssh and the server said (in English: `LC_ALL=C`).
struct GitFailure {
    enum Kind: Equatable {
        case wantsCredentials, isForbidden, notFound, missingRef, mismatchedHash
        /// The server has the repository but does not give out this object by its name.
        case refusesObject(isKnownMissing: Bool)
        case certificate, network, overload, stalled
        case sshMissing, sshUnknownHost, sshChangedHost, sshDenied, sshNoUser
        case redirected, foreignOwner, largeFiles, noSpace, other
    }

    let kind: Kind
    /// The last lines of what was said, without secrets.
    let reason: String

    /// Whether another try may succeed.
    var isTemporary: Bool { [.network, .overload, .stalled].contains(kind) }

    /// - Parameter hiding: what no text may repeat, though a server or proxy may.
    init(reading errors: String, timedOut: Bool, hiding secrets: [String]) {
        kind = timedOut ? .stalled : GitFailure.kind(of: errors)
        var text = errors.split(separator: "\n").map { $0.trimmingPrefix("fatal: ").trimmingPrefix("error: ") }
            .filter { !GitFailure.says($0, GitFailure.chatter) }.suffix(3).joined(separator: "; ")
        for secret in secrets where !secret.isEmpty { text = text.replacing(secret, with: "***") }
        reason = text.isEmpty ? "it gave no reason" : text
    }

    /// Lines that say nothing of the reason.
    private static let chatter = [
        "Could not read from remote repository", "Please make sure you have the correct access rights",
        "and the repository exists.", "@@@@@@", "the remote end hung up unexpectedly", "unable to fork",
    ]

    /// What is said, in the order in which it counts: ssh's own words stand beside git's general ones.
    private static let phrases: [(Kind, [String])] = [
        (.noSpace, ["No space left on device", "Disk quota exceeded"]),
        (.sshMissing, ["cannot run ssh", "ssh: not found", "ssh: command not found"]),
        (.sshNoUser, ["No user exists for uid"]),
        (.sshChangedHost, ["REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key for"]),
        (.sshUnknownHost, ["Host key verification failed", "host key is known for"]),
        (.sshDenied, ["Permission denied (", "Too many authentication failures", "Load key \""]),
        (.foreignOwner, ["dubious ownership", "unsafe repository"]),
        (.largeFiles, ["smudge filter lfs failed", "Smudge error", "external filter 'git-lfs"]),
        (
            .certificate,
            ["SSL certificate problem", "certificate verification failed", "certificate subject name", "CAfile:"]
        ),
        (.redirected, ["unable to update url base", "returned error: 30"]),
        (.mismatchedHash, ["mismatched algorithms", "unknown object format"]),
        (.refusesObject(isKnownMissing: false), ["unadvertised object", "not valid"]),
        (.refusesObject(isKnownMissing: true), ["not our ref", "remote error: upload-pack"]),
        (.missingRef, ["couldn't find remote ref"]),
        (
            .wantsCredentials,
            ["Authentication failed", "could not read Username", "could not read Password", "returned error: 401"]
        ),
        (.isForbidden, ["returned error: 403", "HTTP 403"]),
        (
            .notFound,
            [
                "' not found", "returned error: 404", "does not appear to be a git repository", "Repository not found",
                "' does not exist", "not found: did you run", "returned error: 410",
            ]
        ),
        (
            .overload,
            ["429", "500", "502", "503", "504"].flatMap { ["returned error: \($0)", "HTTP \($0)"] }
        ),
        (
            .network,
            [
                "Could not resolve", "Failed to connect", "Connection refused", "Connection reset", "timed out",
                "Timeout", "early EOF", "RPC failed", "hung up unexpectedly", "unexpected disconnect", "Empty reply",
                "Operation too slow", "No route to host", "Network is unreachable", "recv error", "SSL_ERROR_SYSCALL",
                "Connection closed", "Broken pipe", "Temporary failure", "TLS connection", "transfer closed",
                "expected 'packfile'", "expected flush", "unexpected end of",
            ]
        ),
    ]

    private static func kind(of errors: String) -> Kind {
        phrases.first { says(errors[...], $0.1) }?.0 ?? .other
    }

    private static func says(_ text: Substring, _ phrases: [String]) -> Bool {
        phrases.contains { text.contains($0) }
    }
}

extension GitFailure {
    /// The failure for people: which of repository, ref, credentials and network it is, and what to do.
    ///
    /// - Parameter credentialHint: what to do where a repository wants credentials and none were given.
    func error(_ location: GitLocation, _ credentials: GitCredentials, credentialHint: String) -> BuildError {
        let url = location.url
        switch kind {
        case .wantsCredentials, .isForbidden:
            guard credentials.areGiven else {
                return BuildError("the repository \(url) wants credentials, and none were given", hint: credentialHint)
            }
            return kind == .isForbidden
                ? BuildError(
                    "the credentials from \(credentials.origin) may not read the repository \(url)",
                    hint: "give their owner, or the token, the right to read it")
                : BuildError(
                    "the repository \(url) refused the credentials from \(credentials.origin)",
                    hint: "check that they are valid and may read this repository")
        case .notFound: return notFound(location, credentials, credentialHint)
        case .missingRef:
            guard let ref = location.ref else {
                return BuildError(
                    "the repository \(url) has no default branch", hint: "name a ref: URL#refs/heads/main")
            }
            return BuildError(
                "the ref \(ref) does not exist in \(url)", hint: "write it in full, as refs/heads/main or refs/tags/v1")
        case .network, .stalled, .overload: return unreachable(location)
        case .certificate:
            return BuildError(
                "the certificate of \(url) is not trusted: \(reason)",
                hint: "if its authority is one of your own, name a bundle that has it with GIT_SSL_CAINFO")
        case .sshMissing, .sshUnknownHost, .sshChangedHost, .sshDenied, .sshNoUser: return overSSH(location)
        case .redirected where credentials.header != nil:
            return BuildError(
                "the repository \(url) is redirected, and \(credentials.origin) goes to no other address",
                hint: "write the address that it leads to")
        case .foreignOwner:
            return BuildError(
                "the repository \(url) belongs to another user, and git does not read it",
                hint: "build as its owner, or trust it: git config --global --add safe.directory PATH")
        case .noSpace:
            return BuildError(
                "there is no space left for the repository \(url)",
                hint: "free space in the state folder's file system, or name another with --state-dir")
        case .largeFiles:
            return BuildError(
                "the Git LFS files of \(url) cannot be fetched: \(reason)",
                hint: "to build with the pointers in their place, set GIT_LFS_SKIP_SMUDGE=1")
        case .mismatchedHash:
            return BuildError(
                "the repository \(url) names its objects by another hash: \(reason)",
                hint: "name the commit in full: its length says which hash it is")
        case .refusesObject, .redirected, .other:
            return BuildError("the repository \(url) could not be fetched: \(reason)")
        }
    }

    private func notFound(
        _ location: GitLocation, _ credentials: GitCredentials, _ credentialHint: String
    ) -> BuildError {
        if location.isLocal {
            return BuildError(
                "there is no Git repository at \(location.url)", hint: "check the path: it is one of this machine")
        }
        // To those who may not see it, a host says that a private repository is not there.
        let hint =
            if location.isSSH {
                "check the address; for a private one, that the key may read it"
            } else if !credentials.areGiven {
                "for a private one: \(credentialHint)"
            } else {
                "credentials came from \(credentials.origin)"
            }
        return BuildError("there is no Git repository at \(location.url), or it is private", hint: hint)
    }

    private func unreachable(_ location: GitLocation) -> BuildError {
        let place = location.host ?? location.url
        switch kind {
        case .stalled:
            return BuildError(
                "\(place) sent nothing for too long while \(location.url) was fetched",
                hint: "check the network between here and \(place)")
        case .overload:
            return BuildError(
                "the server of \(location.url) has a failure of its own: \(reason)", hint: "try again later")
        default:
            return BuildError(
                "\(place) cannot be reached for \(location.url): \(reason)",
                hint: reason.contains("resolve")
                    ? "check the spelling of the host, and the DNS of this machine"
                    : "check the network, and the proxy settings if there is a proxy (https_proxy, no_proxy)")
        }
    }

    private func overSSH(_ location: GitLocation) -> BuildError {
        let url = location.url
        switch kind {
        case .sshMissing:
            return BuildError(
                "the repository \(url) needs the program ssh, which is not installed",
                hint: "install it (apt-get install openssh-client), or use an https address")
        case .sshNoUser:
            return BuildError(
                "ssh refuses to work for a user without an entry in /etc/passwd: \(reason)",
                hint: "use an https address with a token, or run as a user that has an entry")
        case .sshChangedHost:
            return BuildError(
                "the host of \(url) has another key than the one that is known",
                hint:
                    "if the host did change its key, put the new one into the file of known hosts; if not, somebody may be listening"
            )
        case .sshUnknownHost:
            return BuildError(
                "the key of the host of \(url) is not known, and an unknown host is not trusted",
                hint:
                    "name a file with the host's key with --git-ssh-known-hosts (ssh-keyscan HOST prints it; compare it with what the host publishes)"
            )
        default:
            return BuildError(
                "the host of \(url) refused the SSH key: \(reason)",
                hint: "name a key that may read it with --git-ssh-key, or have an agent (SSH_AUTH_SOCK) that holds it")
        }
    }
}
