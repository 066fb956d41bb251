import Glibc
import SystemIO
import SystemPackage

extension GitCheckout {
    /// Brings the submodules. Credentials go to the host of the repository alone, wherever submodules are.
    ///
    /// - Throws: `BuildError` if one cannot be fetched.
    func fetchSubmodules(_ location: GitLocation, with git: GitProgram, leaveOut: String) throws {
        guard try folder.statusIfPresent(of: ".gitmodules") != nil else { return }
        let command = ["submodule", "update", "--init", "--recursive", "--progress"]
        var answer = try git.transfer(command + ["--depth=1"], of: location, in: folder)
        if case .refusesObject = answer.failure?.kind {
            // Without history a server gives out no commit but the tips.
            answer = try git.transfer(command, of: location, in: folder)
        }
        guard let failure = answer.failure else { return }
        var error = BuildError("the submodules of \(location.url) cannot be fetched: \(failure.reason)", hint: leaveOut)
        if failure.kind == .wantsCredentials || failure.kind == .notFound {
            error.hint = "credentials are given to the repository's own host only; \(leaveOut)"
        }
        throw error
    }

    /// Makes of the folder what every machine makes of this commit: modes 0644 and 0755, the commit's time, and no `.git`
    /// unless it is kept.
    func settle(keepsGitFolder: Bool) throws {
        try walk { below, entries in
            if !keepsGitFolder { try below.removeTree(".git") }
            for (name, status) in entries { try settle(name, status, in: below) }
            guard futimens(below.descriptor.raw, committed.asModificationTime) == 0 else {
                throw SystemError.last("futimens", below.path)
            }
        }
    }

    /// Removes `.git`, the submodules' as well.
    func removeGitFolders() throws {
        guard try folder.statusIfPresent(of: ".gitmodules") != nil else { return try folder.removeTree(".git") }
        try walk { below, _ in try below.removeTree(".git") }
    }

    /// Visits every folder, with what is in it but `.git`: no commit holds a name like that, it is git's own.
    private func walk(
        _ visit: (_ folder: Directory, _ entries: [(name: FilePath, status: FileStatus)]) throws -> Void
    ) throws {
        var pending: [FilePath] = ["."]
        while let path = pending.popLast() {
            let below = try folder.openDirectory(path, .noSymlinks)
            let entries = try below.names().filter { $0 != ".git" }.map { (name: $0, status: try below.status(of: $0)) }
            try visit(below, entries)
            for entry in entries where entry.status.kind == .directory {
                pending.append(path == "." ? entry.name : path.appending(entry.name.components))
            }
        }
    }

    private func settle(_ name: FilePath, _ status: FileStatus, in parent: Directory) throws(SystemError) {
        if status.kind != .symlink {
            let isPassable = status.kind == .directory || status.permissions & 0o100 != 0
            let result = name.withPlatformString { fchmodat(parent.descriptor.raw, $0, isPassable ? 0o755 : 0o644, 0) }
            guard result == 0 else { throw .last("fchmodat", name) }
        }
        let result = name.withPlatformString {
            utimensat(parent.descriptor.raw, $0, committed.asModificationTime, AT_SYMLINK_NOFOLLOW)
        }
        guard result == 0 else { throw .last("utimensat", name) }
    }
}
