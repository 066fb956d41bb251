import Glibc
import SystemIO
import SystemPackage

/// The folders and files that one run needs beside the trees, made below a scratch folder of the builder's.
///
///     root/      the overlay of the root. Its lowest layer holds empty folders and files to mount on: an image that has its
///                own hides them; one that lacks them gets nothing into its upper folder
///     views/     an overlay for each view that is mounted
///     files/     resolv.conf, hosts, hostname
///     memory/    where a file system in memory is mounted, in the command's namespace only, for files without a disk
struct OverlayScratch {
    let folder: FilePath
    let root: OverlayStack
    /// By the number of their mount.
    let views: [Int: OverlayStack]
    var memory: FilePath { folder.appending("memory") }

    func file(for name: FilePath) -> FilePath {
        folder.appending("files").appending(name.components.suffix(1))
    }

    func memoryFile(_ index: Int) -> FilePath { memory.appending("\(index)") }

    init(
        in folder: FilePath, layers: [FilePath], upper: FilePath, work: FilePath, mounts: [ExtraMount],
        files: HostFiles, usesUserAttributes: Bool
    ) throws(SystemError) {
        guard folder.isAbsolute else { throw SystemError(call: "mount", path: folder, errno: .invalidArgument) }
        self.folder = folder
        let scratch = try Directory(creating: folder)
        for name in ["files", "memory"] as [FilePath] {
            try scratch.removeTree(name)
            try scratch.makeDirectory(name, mode: 0o755)
        }
        try OverlayScratch.makeUpper(upper, like: layers.first)
        // A mark of a "volatile" mount would refuse the next one; it is for those who want to survive a crash.
        let workFolder = try Directory(creating: work)
        for name in try workFolder.names() { try workFolder.removeTree(name) }
        root = try OverlayStack(
            in: folder.appending("root"), layers: layers, writable: (upper, work),
            usesUserAttributes: usesUserAttributes)
        try OverlayScratch.makeMountPoints(in: try Directory(opening: root.lowest), mounts: mounts)
        views = try OverlayScratch.makeViews(
            of: mounts, in: folder.appending("views"), usesUserAttributes: usesUserAttributes)
        try files.write(into: try scratch.openDirectory("files", .noSymlinks))
    }

    private static func makeViews(
        of mounts: [ExtraMount], in folder: FilePath, usesUserAttributes: Bool
    ) throws(SystemError) -> [Int: OverlayStack] {
        var views: [Int: OverlayStack] = [:]
        for (index, mount) in mounts.enumerated() {
            guard case .view(let view, _, _) = mount else { continue }
            var writable: (upper: FilePath, work: FilePath)?
            if let scratch = view.scratch {
                let folders = (upper: scratch.appending("upper"), work: scratch.appending("work"))
                try makeUpper(folders.upper, like: view.layers.first)
                _ = try Directory(creating: folders.work)
                writable = folders
            }
            views[index] = try OverlayStack(
                in: folder.appending("\(index)"), layers: view.layers, writable: writable,
                usesUserAttributes: usesUserAttributes)
        }
        return views
    }

    private static func makeUpper(_ upper: FilePath, like layer: FilePath?) throws(SystemError) {
        guard upper.withCString({ access($0, F_OK) }) != 0 else { return }
        let folder = try Directory(creating: upper)
        guard let layer else {
            guard fchown(folder.descriptor.raw, 0, 0) == 0 else { throw .last("fchown", upper) }
            guard fchmod(folder.descriptor.raw, 0o755) == 0 else { throw .last("fchmod", upper) }
            return
        }
        let status = try OwnedDescriptor.open(layer, O_PATH | O_DIRECTORY).status()
        try folder.descriptor.setOwnerModeAndTime(status, naming: upper)
    }

    /// Makes the lowest layer. A target that goes through `..` is left to the mount itself, which knows the image.
    private static func makeMountPoints(in root: Directory, mounts: [ExtraMount]) throws(SystemError) {
        for folder in SandboxPlan.mountPoints.folders { try make(folder, directory: true, in: root) }
        for file in SandboxPlan.mountPoints.files { try make(file, directory: false, in: root) }
        for mount in mounts where !mount.target.components.contains(where: { $0.kind == .parentDirectory }) {
            try make(FilePath(root: nil, mount.target.components), directory: try mount.isDirectory(), in: root)
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
