import SystemIO
import SystemPackage

/// One overlay mount that is made in the command's namespace, around a folder of its own:
///
///     links/     symlinks "0", "1", ... to the layers: short names, so that any number of them fits the one page that
///                mount(2) takes, and no character of a path needs an escape
///     lowest/    the lowest layer, empty at first
///     merged/    where the overlay is mounted
struct OverlayStack {
    let folder: FilePath
    private let options: String
    private let isWritable: Bool
    private var links: FilePath { folder.appending("links") }
    var lowest: FilePath { folder.appending("lowest") }
    var merged: FilePath { folder.appending("merged") }

    /// - Parameters:
    ///   - layers: topmost first.
    ///   - writable: where what is written goes, and overlayfs's own folder beside it; both exist.
    ///   - usesUserAttributes: whether the marks in all of them are `user.overlay.*`.
    init(
        in folder: FilePath, layers: [FilePath], writable: (upper: FilePath, work: FilePath)?,
        usesUserAttributes: Bool
    ) throws(SystemError) {
        for path in layers + [folder] + (writable.map { [$0.upper, $0.work] } ?? []) where !path.isAbsolute {
            throw SystemError(call: "mount", path: path, errno: .invalidArgument)
        }
        self.folder = folder
        isWritable = writable != nil
        // None of these options is newer than Linux 4.19. What they turn off would put things into the upper folder that
        // no layer can hold (redirects, files without data).
        let lower = (layers.indices.map { "\($0)" } + ["m"]).joined(separator: ":")
        let upper = isWritable ? ",upperdir=u,workdir=w" : ""
        // userxattr is of Linux 5.11; in a user namespace nothing else is allowed. It turns the two off itself, and refuses to be told.
        let marks = usesUserAttributes ? "userxattr" : "redirect_dir=off,metacopy=off"
        options = "lowerdir=\(lower)\(upper),index=off,xino=off,\(marks)"

        let own = try Directory(creating: folder)
        for name in ["links", "lowest", "merged"] as [FilePath] {
            try own.removeTree(name)
            try own.makeDirectory(name, mode: 0o755)
        }
        let links = try own.openDirectory("links", .noSymlinks)
        for (index, layer) in layers.enumerated() { try links.makeSymlink(FilePath("\(index)"), to: layer) }
        try links.makeSymlink("m", to: lowest)
        if let writable {
            try links.makeSymlink("u", to: writable.upper)
            try links.makeSymlink("w", to: writable.work)
        }
    }

    /// Mounts it on `merged`.
    var steps: [SpawnStep] {
        [
            .changeDirectory(links),
            // Without device nodes: no cgroup keeps a command that may mknod from the machine's disks.
            .mount(
                type: "overlay", on: merged, flags: [.noDevices], data: isWritable ? options + ",volatile" : options,
                fallback: isWritable ? options : nil),
        ]
    }
}
