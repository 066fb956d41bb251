import Glibc
import SystemIO
import SystemPackage

/// What is lent to a flat tree for one run, since nothing can be mounted on it: device nodes, and the files of name resolution.
///
/// The image's own files of those names are moved into the scratch folder and put back by `leave()`.
struct FlatGuests {
    private let root: Directory
    private let scratch: Directory
    private let devices: [FilePath]
    private let files: [FilePath]
    private let folders: [FilePath]
    private let saved: [FilePath]
    /// Names whose change time, or whose folder's, is no longer what it was.
    let touched: [FilePath]

    /// - Parameter scratch: on the same file system as `root`.
    init(placing hostFiles: HostFiles, in root: Directory, scratch: Directory) throws(SystemError) {
        self.root = root
        self.scratch = scratch
        var devices: [FilePath] = []
        var files: [FilePath] = []
        var folders: [FilePath] = []
        var saved: [FilePath] = []
        for folder in ["etc", "dev"] as [FilePath] {
            if try root.statusIfPresent(of: folder) == nil {
                try FlatGuests.makeFolder(folder, in: root)
                folders.append(folder)
            }
        }
        let dev = try root.openDirectory("dev", .inRoot)
        // Numbers of Documentation/admin-guide/devices.txt.
        let numbers: [(FilePath, UInt32, UInt32)] = [
            ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
        ]
        for (name, major, minor) in numbers where try dev.statusIfPresent(of: name) == nil {
            let made = name.withCString {
                // Small numbers are encoded as they were when a device number had 16 bits.
                mknodat(dev.descriptor.raw, $0, S_IFCHR | 0o666, dev_t(major << 8 | minor))
            }
            if made != 0 {
                // Without the right to make nodes the tree is as the image has it.
                guard errno == EPERM else { throw .last("mknodat", name) }
                continue
            }
            guard name.withCString({ fchmodat(dev.descriptor.raw, $0, 0o666, 0) }) == 0 else {
                throw .last("fchmodat", name)
            }
            devices.append(name)
        }
        for (name, target) in SandboxPlan.deviceLinks where try dev.statusIfPresent(of: name) == nil {
            try dev.makeSymlink(name, to: target)
            devices.append(name)
        }
        let etc = try root.openDirectory("etc", .inRoot)
        for path in SandboxPlan.placedFiles {
            let name = FilePath(root: nil, path.components.suffix(1))
            if try etc.statusIfPresent(of: name) != nil {
                try etc.rename(name, to: name, in: scratch)
                saved.append(name)
            }
            files.append(name)
        }
        try hostFiles.write(into: etc)
        self.devices = devices
        self.files = files
        self.folders = folders
        self.saved = saved
        touched =
            (["etc", "dev"] as [FilePath]) + SandboxPlan.placedFiles
            + devices.map { FilePath("dev").appending($0.components) }
    }

    /// Takes everything back; a name that the command has removed or replaced is the image's again all the same.
    func leave() throws(SystemError) {
        if let dev = try folder("dev") {
            for name in devices { try dev.removeTree(name) }
        }
        if let etc = try folder("etc") {
            for name in files { try etc.removeTree(name) }
            for name in saved { try scratch.rename(name, to: name, in: etc) }
        }
        for name in folders {
            do throws(SystemError) {
                try root.remove(name, directory: true)
            } catch {
                // In use by the command now, or gone.
                guard error.errno == .directoryNotEmpty || error.errno == .noSuchFileOrDirectory else { throw error }
            }
        }
    }

    private func folder(_ name: FilePath) throws(SystemError) -> Directory? {
        do throws(SystemError) {
            return try root.openDirectory(name, .inRoot)
        } catch {
            guard error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory else { throw error }
            return nil
        }
    }

    private static func makeFolder(_ name: FilePath, in root: Directory) throws(SystemError) {
        try root.makeDirectory(name, mode: 0o755)
        let folder = try root.openDirectory(name, .noSymlinks)
        guard fchmod(folder.descriptor.raw, 0o755) == 0 else { throw .last("fchmod", name) }
    }
}
