/// A commit in a Git repository, as `--context` names it in Kaniko's syntax: `URL[#REF[#COMMIT]]`.
package struct GitLocation: Sendable, Hashable {
    /// What git is given, without user information.
    package let url: String
    /// `refs/heads/main`, `refs/tags/v1`, `main`; `nil` for the remote's default branch.
    package let ref: String?
    /// 40 (or 64) lower-case hex digits, or at least the first seven of them; `nil` for the tip of `ref`.
    package let commit: String?
    /// From `https://user:password@host/...`; never printed.
    package let userInformation: UserInformation?

    package struct UserInformation: Sendable, Hashable {
        package let username: String
        package let password: String?
    }

    /// How `git://` is dialled: nobody serves that protocol in public any more.
    package enum PullMethod: String, Sendable {
        case https, http
    }

    /// Whether a `--context` value names a Git repository.
    package static func isGit(_ context: String) -> Bool {
        if context.hasPrefix("git@") { return true }
        guard let scheme = context.scheme else { return false }
        let address = context.prefix { $0 != "#" }
        return switch scheme {
        case "git", "ssh", "git+ssh", "file": true
        // An archive may be at an http address too: a repository ends in .git or names a ref.
        case "http", "https": address.hasSuffix(".git") || context.contains("#")
        default: false
        }
    }

    /// - Parameter branch: a branch or tag in place of the context's own ref, as Kaniko's `--git branch=NAME` names it.
    /// - Throws: `BuildError` for an empty repository, a ref or commit that cannot be one, a deleted branch's zero commit.
    package init(parsing context: String, branch: String? = nil, pullMethod: PullMethod = .https) throws {
        let parts = context.split(separator: "#", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 3 else {
            throw BuildError(
                "the context '\(GitLocation.redacted(context))' has more than two '#'",
                hint: "write it as URL#REF#COMMIT")
        }
        (url, userInformation) = GitLocation.separateUser(GitLocation.dialled(parts[0], pullMethod))
        try GitLocation.checkRepository(of: url, in: "the context '\(GitLocation.redacted(context))'")
        try GitLocation.checkUser(of: url)
        // Workflow parameters that were not set arrive as empty strings.
        let writtenRef = parts.count > 1 && !parts[1].isEmpty ? parts[1] : nil
        let writtenCommit = parts.count > 2 && !parts[2].isEmpty && parts[2] != "HEAD" ? parts[2] : nil
        if let writtenCommit {
            guard GitLocation.isCommit(writtenCommit) || GitLocation.isAbbreviation(writtenCommit) else {
                throw BuildError(
                    "'\(writtenCommit)' is not a commit: expected 40 hex digits, or at least 7 of them, in the third part of the context",
                    hint: "the context is written as URL#REF#COMMIT; leave COMMIT empty for the tip of REF")
            }
        }
        (ref, commit) = try GitLocation.settled(branch ?? writtenRef, writtenCommit)
    }

    /// A repository by its address alone, and what of it is wanted, as ADD names both.
    ///
    /// - Parameter ref: a ref or a whole commit; `nil` or empty for the tip of the default branch.
    /// - Throws: `BuildError` for an empty repository, and for a ref that cannot be one.
    init(address: String, ref: String?) throws {
        (url, userInformation) = GitLocation.separateUser(GitLocation.dialled(address, .https))
        try GitLocation.checkRepository(of: url, in: "'\(url)'")
        try GitLocation.checkUser(of: url)
        (self.ref, commit) = try GitLocation.settled(ref?.isEmpty == true ? nil : ref, nil)
    }

    /// A commit in the place of the ref is a commit.
    private static func settled(_ ref: String?, _ commit: String?) throws -> (ref: String?, commit: String?) {
        let ref = ref == "HEAD" ? nil : ref
        let isRefCommit = ref.map(isCommit) ?? false
        let commit = (commit ?? (isRefCommit ? ref : nil))?.lowercased()
        guard commit == nil || commit?.contains(where: { $0 != "0" }) == true else {
            throw BuildError(
                "the commit is all zeros: that is what a push event carries when a branch was deleted, and there is nothing to build",
                hint: "filter deleted branches in the trigger (body.deleted is true)")
        }
        if let ref, !isRefCommit { try checkRef(ref) }
        return (isRefCommit ? nil : ref, commit)
    }

    private static func checkRepository(of url: String, in what: String) throws {
        guard !url.hasPrefix("git@") else { return }
        let hasHost = url.hasPrefix("file:") || !url.contains(":///")
        guard hasHost, url.split(separator: "/").count > 1 else {
            throw BuildError(
                "\(what) names no repository",
                hint: hasHost ? nil : "it has no host; a repository of this machine is written file:///PATH")
        }
    }

    /// An address for SSH takes no password: nothing could use it, and it would be kept in `.git/config`.
    private static func checkUser(of url: String) throws {
        guard url.hasPrefix("ssh://"), let authority = url.dropFirst("ssh://".count).split(separator: "/").first,
            let at = authority.lastIndex(of: "@"), authority[..<at].contains(":")
        else { return }
        throw BuildError(
            "the address \(redacted(url)) has a password, which SSH does not take",
            hint: "name a private key with --git-ssh-key, or have an agent (SSH_AUTH_SOCK)")
    }

    private static func dialled(_ address: String, _ method: PullMethod) -> String {
        if address.hasPrefix("git://") { return method.rawValue + "://" + address.dropFirst("git://".count) }
        if address.hasPrefix("git+ssh://") { return "ssh://" + address.dropFirst("git+ssh://".count) }
        return address
    }

    private static func isCommit(_ text: String) -> Bool {
        (text.utf8.count == 40 || text.utf8.count == 64)
            && text.utf8.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
    }

    /// The beginning of a commit's name, as people shorten it. Fewer than 7 digits soon stand for several.
    private static func isAbbreviation(_ text: String) -> Bool {
        (7..<40).contains(text.utf8.count) && text.utf8.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
    }

    /// The rules of git-check-ref-format(1) that keep a ref from being read as an option, a refspec or a pattern.
    private static func checkRef(_ ref: String) throws {
        let forbidden = ref.utf8.contains { $0 <= 0x20 || $0 == 0x7f || "~^:?*[\\".utf8.contains($0) }
        guard !forbidden, !ref.hasPrefix("-"), !ref.hasPrefix("/"), !ref.hasSuffix("/"), !ref.contains(".."),
            !ref.contains("@{"), !ref.hasSuffix(".lock")
        else {
            throw BuildError("'\(ref)' is not a Git ref", hint: "write it as refs/heads/main or refs/tags/v1")
        }
    }

    /// An http address without its user information, and that.
    static func separateUser(_ address: String) -> (String, UserInformation?) {
        guard let scheme = address.scheme, scheme == "https" || scheme == "http" else { return (address, nil) }
        let start = address.index(address.startIndex, offsetBy: scheme.count + 3)
        let end = address[start...].firstIndex { "/?#".contains($0) } ?? address.endIndex
        guard let at = address[start..<end].lastIndex(of: "@") else { return (address, nil) }
        let parts = address[start..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let user = UserInformation(
            username: percentDecoded(parts[0]), password: parts.count > 1 ? percentDecoded(parts[1]) : nil)
        return (String(address[..<start] + address[address.index(after: at)...]), user)
    }

    static func percentDecoded(_ text: Substring) -> String {
        String(decoding: percentDecodedBytes(text), as: UTF8.self)
    }

    /// What cannot be decoded stays as it is.
    static func percentDecodedBytes(_ text: Substring) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }

    /// The context without user information, whatever its scheme, for messages.
    static func redacted(_ context: String) -> String {
        guard let scheme = context.scheme else { return context }
        let start = context.index(context.startIndex, offsetBy: scheme.count + 3)
        let end = context[start...].firstIndex(of: "/") ?? context.endIndex
        guard let at = context[start..<end].lastIndex(of: "@") else { return context }
        return String(context[..<start] + context[context.index(after: at)...])
    }

    /// Whether all digits of the commit are known.
    var isCommitWhole: Bool { commit.map(GitLocation.isCommit) ?? false }

    /// The ref as the beginning of a commit's name, which it may be where there is no such ref.
    var abbreviation: String? { ref.flatMap { GitLocation.isAbbreviation($0) ? $0.lowercased() : nil } }

    /// What the ref may stand for in full, in the order in which it is tried: a branch before a tag of that name.
    var candidates: [String] {
        guard let ref else { return ["HEAD"] }
        return ref.hasPrefix("refs/") ? [ref] : ["refs/heads/\(ref)", "refs/tags/\(ref)", "refs/\(ref)"]
    }

    /// Whether the repository is on this machine.
    var isLocal: Bool { url.hasPrefix("file://") }

    var isSSH: Bool { url.hasPrefix("ssh://") || url.hasPrefix("git@") }

    /// Scheme, host and port of an http address, as it is written: what decides whether a secret may go along.
    var origin: String? {
        guard let scheme = url.scheme, scheme == "https" || scheme == "http", let host else { return nil }
        return "\(scheme)://\(host.lowercased())"
    }

    /// `host[:port]`, without a user; `nil` for a repository on this machine.
    package var host: String? {
        if url.hasPrefix("git@") {
            return url.dropFirst("git@".count).split(separator: ":", maxSplits: 1).first.map(String.init)
        }
        guard let scheme = url.scheme, scheme != "file" else { return nil }
        let authority = url.dropFirst(scheme.count + 3).split(separator: "/", omittingEmptySubsequences: false).first
        return authority.flatMap { $0.split(separator: "@").last }.map(String.init)
    }
}

extension String {
    /// The scheme of a URL (`https` of `https://...`), or `nil`.
    var scheme: String? {
        guard let colon = firstIndex(of: ":"), self[colon...].hasPrefix("://") else { return nil }
        return String(self[..<colon])
    }
}
