import Glibc
import SystemIO
import SystemPackage

/// A commit of a Git repository, as a folder.
struct GitCheckout {
    let folder: Directory
    /// The commit that was checked out: what git itself says of `HEAD` afterwards.
    let commit: String
    let committed: Timestamp

    /// Fetches one commit, without its history, and checks it out into a scratch folder.
    ///
    /// - Parameter keepsGitFolder: leaves `.git` in the folder. It is removed otherwise: its index and logs hold times and inode
    ///   numbers, and no two builds of a commit would give the same image.
    /// - Throws: `BuildError` that says which of repository, ref and commit failed.
    static func make(
        _ location: GitLocation, with git: GitProgram, in scratch: Scratch, keepsGitFolder: Bool
    ) throws -> GitCheckout {
        let folder = try scratch.makeFolder("context")
        let format = location.commit?.utf8.count == 64 ? ["--object-format=sha256"] : []
        try git.run(["init", "--quiet", "--template=", "--initial-branch=imgbuild"] + format, in: folder)
        let commit = try fetch(location, with: git, into: folder)
        try git.run(["checkout", "--quiet", "--force", "--detach", commit], in: folder)
        let head = try git.line(["rev-parse", "--verify", "HEAD"], in: folder)
        guard head == commit else {
            throw BuildError("git checked out \(head) where \(commit) was asked for")
        }
        guard let committed = try git.commitTime(in: folder) else {
            throw BuildError("git names no time for the commit \(commit)")
        }
        if !keepsGitFolder { try folder.removeTree(".git") }
        return GitCheckout(folder: folder, commit: commit, committed: committed)
    }

    /// Brings the commit into the repository at `folder`, and returns its full name.
    private static func fetch(_ location: GitLocation, with git: GitProgram, into folder: Directory) throws -> String {
        let options = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph"]
        guard let commit = location.commit else {
            let answer = try git.attempt(
                options + ["--depth=1", "--", location.url, location.ref ?? "HEAD"], in: folder)
            guard answer.succeeded else { throw git.explain(answer, location) }
            return try git.line(["rev-parse", "--verify", "FETCH_HEAD^{commit}"], in: folder)
        }
        // The commit by its name: one round trip, no history. Servers may refuse names that no ref points to.
        let direct = try git.attempt(options + ["--depth=1", "--", location.url, commit], in: folder)
        if direct.succeeded {
            // The name may be a tag object's: what counts is the commit that it stands for.
            return try git.line(["rev-parse", "--verify", "FETCH_HEAD^{commit}"], in: folder)
        }
        guard direct.refusesCommit else { throw git.explain(direct, location) }
        // Then by the ref, first without history, then with all of it.
        let refspec = location.ref ?? "+refs/heads/*:refs/remotes/origin/*"
        for depth in [["--depth=1"], ["--unshallow"]] {
            let answer = try git.attempt(options + depth + ["--", location.url, refspec], in: folder)
            guard answer.succeeded else { throw git.explain(answer, location) }
            let found = try git.attempt(["rev-parse", "--verify", "--quiet", "\(commit)^{commit}"], in: folder)
            if found.succeeded { return found.firstLine }
        }
        let place = location.ref.map { "the history of \($0)" } ?? "the branches"
        throw BuildError(
            "the commit \(commit) is not in \(place) of \(location.url), and the server does not give it out by its name",
            hint: "it may have been replaced by a force-push, or be on another ref")
    }
}
