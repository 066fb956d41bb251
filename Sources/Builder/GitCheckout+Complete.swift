import Glibc
import SystemIO
import SystemPackage

extension GitCheckout {
    /// Brings the submodules, and makes of the folder what every machine makes of this commit: modes 0644 and 0755, the
    /// commit's time, and no `.git` unless it is kept.
    ///
    /// - Throws: `BuildError` if a submodule cannot be fetched.
    func complete(
        _ location: GitLocation, with git: GitProgram, submodules: Bool, keepsGitFolder: Bool
    ) throws {
        // Relative addresses of submodules start from it, and who keeps .git finds where it is from.
        try git.run(["remote", "add", "origin", location.url], in: folder)
        if submodules, try folder.statusIfPresent(of: ".gitmodules") != nil {
            do {
                try git.run(["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"], in: folder)
            } catch let error as BuildError {
                throw BuildError(
                    "the submodules of \(location.url) cannot be fetched: \(error.message)",
                    hint: error.hint ?? "leave them out with ?submodules=false in the address")
            }
        }
        var pending: [FilePath] = ["."]
        while let path = pending.popLast() {
            let below = try folder.openDirectory(path, .noSymlinks)
            let isRoot = path == "."
            // No commit holds a name like this: it is git's own.
            if !keepsGitFolder { try below.removeTree(".git") }
            for name in try below.names() where name != ".git" {
                let status = try below.status(of: name)
                try settle(name, status, in: below)
                if status.kind == .directory { pending.append(isRoot ? name : path.appending(name.components)) }
            }
            guard futimens(below.descriptor.raw, committed.asModificationTime) == 0 else {
                throw SystemError.last("futimens", path)
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
