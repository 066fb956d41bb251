import Dockerfile

/// A Git repository that ADD names: `git@host:path`, `ssh://`, `git://`, or an http address whose path ends in `.git`; then
/// `?key=value&...` and `#ref:subdirectory`, both optional.
struct GitSource: Sendable {
    let location: GitLocation
    /// Cleaned, relative to the repository's root; empty for all of it.
    let subdirectory: ImagePath
    private(set) var keepsGitFolder: Bool?
    let includesSubmodules: Bool
    /// The commit that it has to be: at least seven of its first digits, in lower case.
    private(set) var checksum: String?

    /// As git abbreviates commits; fewer digits are no check.
    private static let shortestChecksum = 7

    /// Whether a source of ADD is a repository. An http address is one only if its path says so.
    static func isGit(_ text: String) -> Bool {
        if ["git@", "ssh://", "git://", "git+ssh://"].contains(where: { text.hasPrefix($0) }) { return true }
        return RemoteFile.isURL(text) && text.prefix { $0 != "?" && $0 != "#" }.hasSuffix(".git")
    }

    /// - Throws: for a ref that is none, a query that says something else, or says two things.
    init(parsing word: Word) throws(DockerfileError) {
        let parts = word.text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let head = parts[0].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let fragment = (parts.count > 1 ? parts[1] : "").split(
            separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        var query = Query(range: word.range)
        if let ref = fragment.first { try query.set(\.ref, "ref", String(ref)) }
        if fragment.count > 1 { try query.set(\.subdirectory, "subdir", String(fragment[1])) }
        if head.count > 1 { try query.read(head[1]) }
        // A commit alone is fetched by its name; beside a ref it says what the ref has to be.
        let checksum = try query.checksum.map { text throws(DockerfileError) in
            try GitSource.checked(Word(text, range: word.range))
        }
        let ref = query.ref ?? (checksum?.utf8.count ?? 0 >= 40 ? checksum : nil)
        do { location = try GitLocation(address: String(head[0]), ref: ref) } catch let error as BuildError {
            throw DockerfileError(error.message, at: word.range, hint: error.hint)
        } catch {
            throw DockerfileError("\(error)", at: word.range)
        }
        subdirectory = ImagePath(cleaning: query.subdirectory ?? "")
        keepsGitFolder = try query.flag(query.keepsGitFolder, "keep-git-dir")
        includesSubmodules = try query.flag(query.submodules, "submodules") ?? true
        self.checksum = checksum
    }

    /// Adds what the flags say.
    ///
    /// - Throws: if the address says something else.
    mutating func apply(
        checksum word: Word?, keepsGitFolder flag: Bool?, at range: SourceRange
    ) throws(DockerfileError) {
        if let word {
            let given = try GitSource.checked(word)
            guard checksum == nil || checksum == given else {
                throw DockerfileError(
                    "--checksum=\(given) contradicts the commit \(checksum ?? "") in the address", at: word.range)
            }
            checksum = given
        }
        if let flag {
            guard keepsGitFolder == nil || keepsGitFolder == flag else {
                throw DockerfileError(
                    "--keep-git-dir=\(flag) contradicts keep-git-dir=\(!flag) in the address", at: range)
            }
            keepsGitFolder = flag
        }
    }

    private static func checked(_ word: Word) throws(DockerfileError) -> String {
        let isHex = word.text.utf8.allSatisfy { byte in Character(Unicode.Scalar(byte)).isHexDigit }
        guard isHex, (shortestChecksum...64).contains(word.text.utf8.count) else {
            throw DockerfileError(
                "'\(word.text)' is not the checksum of a Git repository", at: word.range,
                hint: "that is its commit: at least \(shortestChecksum) of its hex digits")
        }
        return word.text.lowercased()
    }
}

/// What query and fragment of an address say, each at most once.
private struct Query {
    let range: SourceRange
    var ref: String?
    var subdirectory: String?
    var checksum: String?
    var keepsGitFolder: String?
    var submodules: String?

    init(range: SourceRange) {
        self.range = range
    }

    mutating func set(
        _ path: WritableKeyPath<Query, String?>, _ name: String, _ value: String
    ) throws(DockerfileError) {
        guard !value.isEmpty else { return }
        if let earlier = self[keyPath: path], earlier != value {
            throw DockerfileError("the address says both \(name) '\(earlier)' and '\(value)'", at: range)
        }
        self[keyPath: path] = value
    }

    mutating func read(_ query: Substring) throws(DockerfileError) {
        var seen: Set<String> = []
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let key = GitLocation.percentDecoded(parts[0])
            let value = parts.count > 1 ? GitLocation.percentDecoded(parts[1]) : ""
            guard seen.insert(key).inserted else {
                throw DockerfileError("the address has the key '\(key)' twice", at: range)
            }
            switch key {
            case "ref": try set(\.ref, "ref", value)
            case "branch": try set(\.ref, "ref", Query.full(value, below: "refs/heads/"))
            case "tag": try set(\.ref, "ref", Query.full(value, below: "refs/tags/"))
            case "commit", "checksum": try set(\.checksum, "commit", value)
            case "subdir": try set(\.subdirectory, "subdir", value)
            case "keep-git-dir": keepsGitFolder = value
            case "submodules": submodules = value
            default:
                throw DockerfileError(
                    "the address of a Git repository has no key '\(key)'", at: range,
                    hint: "there are ref, branch, tag, commit, checksum, subdir, keep-git-dir and submodules")
            }
        }
    }

    private static func full(_ name: String, below prefix: String) -> String {
        name.isEmpty || name.hasPrefix(prefix) ? name : prefix + name
    }

    /// A key without a value is true.
    func flag(_ text: String?, _ name: String) throws(DockerfileError) -> Bool? {
        switch text?.lowercased() {
        case nil: nil
        case "", "1", "t", "true": true
        case "0", "f", "false": false
        case let other?: throw DockerfileError("\(name) is '\(other)': it may be true or false", at: range)
        }
    }
}
