import Glibc
import SystemIO
import SystemPackage

/// A commit of a Git repository, as a folder.
struct GitCheckout {
    let folder: Directory
    /// The commit that was checked out: what git itself says of `HEAD` afterwards.
    let commit: String
    let committed: Timestamp
    /// Files that are pointers of Git LFS, since their contents were not fetched.
    let pointers: [ImagePath]

    /// Fetches one commit and checks it out into a scratch folder, with its `.git`.
    ///
    /// - Parameters:
    ///   - depth: commits of history that come along; 0 for all.
    /// - Throws: `BuildError` that says which of repository, ref and commit failed.
    static func make(
        _ location: GitLocation, with git: GitProgram, in scratch: Scratch, depth: Int = 1
    ) throws -> GitCheckout {
        let folder = try scratch.makeFolder("context")
        let format = location.commit?.utf8.count == 64 ? ["--object-format=sha256"] : []
        try git.run(["init", "--quiet", "--template=", "--initial-branch=imgbuild"] + format, in: folder)
        // Large files, and relative addresses of submodules, are found from it.
        try git.run(["config", "remote.origin.url", location.url], in: folder)
        try git.run(["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"], in: folder)
        let commit = try GitFetch(location: location, git: git, folder: folder, depth: depth).run()
        let answer = try git.transfer(
            ["checkout", "--progress", "--force", "--detach", commit], of: location, in: folder)
        if let failure = answer.failure {
            throw failure.kind == .other
                ? BuildError("the commit \(commit) of \(location.url) cannot be checked out: \(failure.reason)")
                : git.explain(failure, location)
        }
        let head = try git.line(["rev-parse", "--verify", "HEAD"], in: folder)
        guard head == commit else {
            throw BuildError("git checked out \(head) where \(commit) was asked for")
        }
        guard let committed = try git.commitTime(in: folder) else {
            throw BuildError("git names no time for the commit \(commit)")
        }
        return GitCheckout(
            folder: folder, commit: commit, committed: committed,
            pointers: git.fetchesLargeFiles ? [] : try pointers(in: folder, git))
    }

    /// Every pointer of Git LFS begins so: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    private static let pointerStart = Array("version https://git-lfs.github.com/spec/".utf8)

    private static func pointers(in folder: Directory, _ git: GitProgram) throws -> [ImagePath] {
        let names = try git.attempt(["ls-files", "-z", "--", ":(attr:filter=lfs)"], in: folder)
        return names.output.utf8.split(separator: 0).map { ImagePath(trusting: Array($0)) }.filter { path in
            let name = FilePath(bytes: path.bytes)
            guard let file = try? folder.open(name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, .noSymlinks),
                (try? file.status().kind) == .file
            else { return false }
            // A pointer is shorter than 1024 bytes; its beginning tells.
            let start = (try? file.readAll(limit: 1 << 20))?.prefix(pointerStart.count)
            return start?.elementsEqual(pointerStart) == true
        }
    }
}
