import SystemIO

/// Brings one commit of a repository into an empty one, with as little as the server allows.
struct GitFetch {
    let location: GitLocation
    let git: GitProgram
    let folder: Directory
    /// Commits of history that are wanted; 0 for all.
    let depth: Int

    /// git's own word for "all" (INFINITE_DEPTH of its sources); unlike `--unshallow` it is never refused.
    private static let everything = "--depth=2147483647"

    /// Returns the full name of the commit, which is in the repository then.
    ///
    /// - Throws: `BuildError` that says which of repository, ref and commit failed.
    func run() throws -> String {
        guard let commit = location.commit else { return try tip() }
        var knowsAll = false
        if location.isCommitWhole {
            // The commit by its name: one round trip. It is found on whatever ref it is, or was before a force-push.
            let direct = try fetch([wantedDepth], commit)
            guard let failure = direct.failure else { return try fetched("the commit \(commit)") }
            guard case .refusesObject(let isKnownMissing) = failure.kind else { throw git.explain(failure, location) }
            knowsAll = isKnownMissing
        }
        return try search(commit, knowsAll: knowsAll)
    }

    private var wantedDepth: String { depth == 0 ? GitFetch.everything : "--depth=\(depth)" }

    private func fetch(_ options: [String], _ refs: String...) throws -> GitProgram.Answer {
        let fixed = ["fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph"]
        return try git.transfer(fixed + options + ["--", location.url] + refs, of: location, in: folder)
    }

    /// The name of the commit that the first of what was fetched stands for: a tag object is taken for its commit.
    private func fetched(_ what: String) throws -> String {
        let answer = try git.attempt(["rev-parse", "--verify", "FETCH_HEAD^{commit}"], in: folder)
        guard answer.succeeded else {
            throw BuildError("\(what) of \(location.url) is not a commit, nor a tag of one")
        }
        return answer.firstLine
    }

    /// The commit that the ref is at.
    private func tip() throws -> String {
        var missing: GitFailure?
        for ref in location.candidates {
            let answer = try fetch([wantedDepth], ref)
            guard let failure = answer.failure else { return try fetched("the ref \(ref)") }
            guard failure.kind == .missingRef else { throw git.explain(failure, location) }
            missing = failure
        }
        if let start = location.abbreviation { return try search(start, knowsAll: false) }
        throw missing.map { git.explain($0, location) } ?? BuildError("the ref names nothing")
    }

    /// The commit that the ref is at, asked of the server without fetching it: what `run()` would fetch now. `nil` where a commit is
    /// named in part, or the ref is not there.
    func remoteTip() throws -> String? {
        guard location.commit == nil else { return nil }
        // A tag object stands for its commit.
        let names = location.candidates.flatMap { [$0, "\($0)^{}"] }
        let answer = try git.transfer(["ls-remote", "--", location.url] + names, of: location, in: folder)
        guard answer.succeeded else { return nil }
        var commits: [String: String] = [:]
        for line in answer.output.split(separator: "\n") {
            let parts = line.split(separator: "\t")
            if parts.count == 2 { commits[String(parts[1])] = String(parts[0]) }
        }
        guard let ref = location.candidates.first(where: { commits[$0] != nil }) else { return nil }
        return commits["\(ref)^{}"] ?? commits[ref]
    }

    /// A commit that the server does not give out by its name, or whose name is not known whole: looked for in the history of
    /// the ref, a little of it first, then in all branches and tags.
    ///
    /// - Parameter knowsAll: the server looked for the commit itself, and all it has need not be fetched to learn the same.
    private func search(_ commit: String, knowsAll: Bool) throws -> String {
        var isRefThere = false
        // Without a commit of its own, it is the ref that is the beginning of a commit's name.
        let candidates = location.commit == nil ? ["HEAD"] : location.candidates
        search: for ref in candidates {
            // 100 commits: more than a branch gets while a build waits for its turn.
            for depth in [wantedDepth, "--depth=100", GitFetch.everything] {
                let answer = try fetch([depth], ref)
                if let failure = answer.failure {
                    guard failure.kind == .missingRef else { throw git.explain(failure, location) }
                    continue search
                }
                isRefThere = true
                if let found = try find(commit) { return found }
            }
            break
        }
        if !knowsAll {
            let answer = try fetch(
                [GitFetch.everything], "+refs/heads/*:refs/fetched/heads/*", "+refs/tags/*:refs/fetched/tags/*")
            if let failure = answer.failure { throw git.explain(failure, location) }
            if let found = try find(commit) { return found }
        }
        throw notFound(commit, isRefThere: isRefThere, isAllKnown: knowsAll)
    }

    private func find(_ commit: String) throws -> String? {
        let objects = try git.attempt(["rev-parse", "--disambiguate=\(commit)"], in: folder)
        var found: Set<String> = []
        for name in objects.output.split(separator: "\n") {
            let answer = try git.attempt(["rev-parse", "--verify", "--quiet", "\(name)^{commit}"], in: folder)
            if answer.succeeded { found.insert(answer.firstLine) }
        }
        guard found.count < 2 else {
            throw BuildError(
                "'\(commit)' is the beginning of several commits of \(location.url): \(found.sorted().joined(separator: ", "))",
                hint: "write more of its digits")
        }
        return found.first
    }

    private func notFound(_ commit: String, isRefThere: Bool, isAllKnown: Bool) -> BuildError {
        let url = location.url
        guard location.commit != nil else {
            return BuildError(
                "there is neither a ref nor a commit '\(commit)' in \(url)",
                hint: "write a ref in full, as refs/heads/main, and a commit with all its digits")
        }
        let ref = location.ref.map { isRefThere ? "the history of \($0)" : "\(url), whose ref \($0) does not exist" }
        let place =
            if let ref { ref + (isRefThere ? " of \(url)" : "") } else { "the branches and tags of \(url)" }
        return BuildError(
            "the commit \(commit) is not in \(place)"
                + (isAllKnown ? ", and the server does not give it out by its name" : ", nor on another branch or tag"),
            hint: "it may have been replaced by a force-push, or be of another repository")
    }
}
