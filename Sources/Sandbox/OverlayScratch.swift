import Glibc
import SystemIO
import SystemPackage

/// The folders and files that one run needs beside the trees, made below a scratch folder of the builder's.
///
///     links/     symlinks "0", "1", ... to the layers: short names, so that any number of them fits the one page that
///                mount(2) takes, and no character of a path needs an escape
///     mountpoints/  the lowest layer: empty folders and files to mount on. An image that has its own hides them; one that
///                lacks them gets nothing into its upper folder
///     files/     resolv.conf, hosts, hostname
///     merged/    where the overlay is mounted, in the command's namespace only
struct OverlayScratch {
    let folder: FilePath
    let options: String
    var links: FilePath { folder.appending("links") }
    var merged: FilePath { folder.appending("merged") }

    func file(for name: FilePath) -> FilePath {
        folder.appending("files").appending(name.components.suffix(1))
    }

    init(
        in folder: FilePath, layers: [FilePath], upper: FilePath, work: FilePath, mounts: [ExtraMount], files: HostFiles
    ) throws(SystemError) {
        for path in layers + [folder, upper, work] where !path.isAbsolute {
            throw SystemError(call: "mount", path: path, errno: .invalidArgument)
        }
        self.folder = folder
        // None of these options is newer than Linux 4.19. What they turn off would put things into the upper folder that no layer can hold
        // (redirects, files without data).
        let lower = (layers.indices.map { "\($0)" } + ["m"]).joined(separator: ":")
        options = "lowerdir=\(lower),upperdir=u,workdir=w,index=off,redirect_dir=off,metacopy=off,xino=off"

        let scratch = try Directory(creating: folder)
        for name in ["links", "mountpoints", "files", "merged"] as [FilePath] {
            try scratch.removeTree(name)
            try scratch.makeDirectory(name, mode: 0o755)
        }
        let links = try scratch.openDirectory("links", .noSymlinks)
        for (index, layer) in layers.enumerated() { try links.makeSymlink(FilePath("\(index)"), to: layer) }
        try links.makeSymlink("m", to: folder.appending("mountpoints"))
        try links.makeSymlink("u", to: upper)
        try links.makeSymlink("w", to: work)
        try OverlayScratch.makeUpper(upper, like: layers.first)
        // A mark of a "volatile" mount would refuse the next one; it is for those who want to survive a crash.
        let workFolder = try Directory(creating: work)
        for name in try workFolder.names() { try workFolder.removeTree(name) }
        try OverlayScratch.makeMountPoints(in: try scratch.openDirectory("mountpoints", .noSymlinks), mounts: mounts)
        try files.write(into: try scratch.openDirectory("files", .noSymlinks))
    }

    private static func makeUpper(_ upper: FilePath, like layer: FilePath?) throws(SystemError) {
        guard upper.withCString({ access($0, F_OK) }) != 0 else { return }
        let folder = try Directory(creating: upper)
        var model: (mode: UInt16, uid: UInt32, gid: UInt32) = (0o755, 0, 0)
        if let layer {
            let status = try OwnedDescriptor.open(layer, O_PATH | O_DIRECTORY).status()
            model = (status.permissions, status.uid, status.gid)
        }
        guard fchown(folder.descriptor.raw, model.uid, model.gid) == 0 else { throw .last("fchown", upper) }
        guard fchmod(folder.descriptor.raw, mode_t(model.mode)) == 0 else { throw .last("fchmod", upper) }
    }

    /// Makes the lowest layer. A target that goes through `..` is left to the mount itself, which knows the image.
    private static func makeMountPoints(in root: Directory, mounts: [ExtraMount]) throws(SystemError) {
        for folder in SandboxPlan.mountPoints.folders { try make(folder, directory: true, in: root) }
        for file in SandboxPlan.mountPoints.files { try make(file, directory: false, in: root) }
        for mount in mounts where !mount.target.components.contains(where: { $0.kind == .parentDirectory }) {
            var directory = true
            if case .bind(let source, _, _) = mount {
                switch source {
                case .path(let path):
                    directory = try OwnedDescriptor.open(path, O_PATH).status().kind == .directory
                case .descriptor(let descriptor):
                    var status = stat()
                    guard fstat(descriptor, &status) == 0 else { throw .last("fstat") }
                    directory = FileStatus(status).kind == .directory
                }
            }
            try make(FilePath(root: nil, mount.target.components), directory: directory, in: root)
        }
    }

    private static func make(_ path: FilePath, directory: Bool, in root: Directory) throws(SystemError) {
        var folder = root
        for (index, component) in path.components.enumerated() where component.kind == .regular {
            let name = FilePath(root: nil, [component])
            let last = index == path.components.count - 1
            if let found = try folder.statusIfPresent(of: name) {
                // Two mounts of different kinds on one name: the mount will say so.
                guard found.kind == .directory, !last else { return }
            } else if last && !directory {
                let file = try folder.open(name, O_CREAT | O_EXCL | O_WRONLY, mode: 0o644, .noSymlinks)
                guard fchmod(file.raw, 0o644) == 0 else { throw .last("fchmod", path) }
                return
            } else {
                try folder.makeDirectory(name, mode: 0o755)
            }
            folder = try folder.openDirectory(name, .noSymlinks)
            guard fchmod(folder.descriptor.raw, 0o755) == 0 else { throw .last("fchmod", path) }
        }
    }
}
