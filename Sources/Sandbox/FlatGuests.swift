import Glibc
import SystemIO
import SystemPackage

/// What is lent to a flat tree for one run, since nothing can be mounted on it: device nodes, the files of name resolution, and the
/// names of `/proc`.
///
/// The image's own files of those names are moved into the scratch folder and put back by `leave()`.
struct FlatGuests {
    private let root: Directory
    private let scratch: Directory
    private let devices: [FilePath]
    private let files: [FilePath]
    private let folders: [FilePath]
    private let saved: [FilePath]
    /// Whether the image has something at `/proc`, which waits meanwhile.
    private let savedProc: Bool
    /// What the command sees as `/proc`, where a supervisor answers for it.
    let skeleton: Directory?
    /// Whether the supervisor has to answer for device nodes, too: here they cannot be made, or not be used.
    let lacksDevices: Bool
    /// Names whose change time, or whose folder's, is no longer what it was.
    let touched: [FilePath]

    /// - Parameters:
    ///   - scratch: on the same file system as `root`.
    ///   - isSupervised: whether a `ProcSupervisor` will be at work.
    init(
        placing hostFiles: HostFiles, in root: Directory, scratch: Directory, isSupervised: Bool
    ) throws(SystemError) {
        self.root = root
        self.scratch = scratch
        var devices: [FilePath] = []
        var files: [FilePath] = []
        var folders: [FilePath] = []
        var saved: [FilePath] = []
        var lacksDevices = false
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
            guard made == 0 || errno == EPERM else { throw .last("mknodat", name) }
            if made == 0 && FlatGuests.canOpen(name, in: dev) {
                guard name.withCString({ fchmodat(dev.descriptor.raw, $0, 0o666, 0) }) == 0 else {
                    throw .last("fchmodat", name)
                }
                devices.append(name)
                continue
            }
            // Without the right to make nodes, or on a file system without devices (mount option nodev).
            if made == 0 { try dev.remove(name) }
            guard isSupervised else { continue }
            lacksDevices = true
            let file = try dev.open(name, O_CREAT | O_EXCL | O_WRONLY, mode: 0o666, .noSymlinks)
            guard fchmod(file.raw, 0o666) == 0 else { throw .last("fchmod", name) }
            devices.append(name)
        }
        if try dev.statusIfPresent(of: "shm") == nil {
            try FlatGuests.makeFolder("shm", in: dev, mode: 0o1777)
            devices.append("shm")
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
        var savedProc = false
        if isSupervised {
            if try root.statusIfPresent(of: "proc") != nil {
                try root.rename("proc", to: "proc", in: scratch)
                savedProc = true
            }
            try FlatGuests.makeFolder("proc", in: root)
            let skeleton = try root.openDirectory("proc", .noSymlinks)
            try ProcSkeleton.fill(skeleton)
            self.skeleton = skeleton
        } else {
            skeleton = nil
        }
        self.savedProc = savedProc
        self.lacksDevices = lacksDevices
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
        if skeleton != nil {
            try root.removeTree("proc")
            if savedProc { try scratch.rename("proc", to: "proc", in: root) }
        }
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

    /// Whether a node works: its file system may be mounted without devices.
    private static func canOpen(_ name: FilePath, in dev: Directory) -> Bool {
        do throws(SystemError) {
            _ = try dev.open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY, .noSymlinks)
            return true
        } catch {
            // A terminal that this process does not have.
            return error.errno == .noSuchAddressOrDevice
        }
    }

    /// Makes a folder with exactly that mode, whatever the umask is.
    static func makeFolder(_ name: FilePath, in root: Directory, mode: UInt32 = 0o755) throws(SystemError) {
        try root.makeDirectory(name, mode: mode)
        let folder = try root.openDirectory(name, .noSymlinks)
        guard fchmod(folder.descriptor.raw, mode_t(mode)) == 0 else { throw .last("fchmod", name) }
    }
}
