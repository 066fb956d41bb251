import CSpawn
import Glibc
package import SystemPackage

/// An open folder from which files are named; the only way to reach files inside an image, a context or a store.
///
/// Nothing here joins paths into strings. How far a name may lead is said by `Resolution`.
package final class Directory: Sendable {
    package let descriptor: OwnedDescriptor
    /// The path it was opened by, for messages only.
    package let path: FilePath

    /// How the kernel walks a path below this folder.
    package enum Resolution: Sendable {
        /// Symlinks are followed, `/` and `..` stop at this folder, as if it were the root. For files of images.
        case inRoot
        /// No symlink is followed anywhere, and nothing above this folder can be reached. For entries while a tree is
        /// written or walked.
        case noSymlinks
        /// As the process sees it: for the builder's own folders only.
        case unrestricted

        /// `RESOLVE_*` of `<linux/openat2.h>`; no rung crosses into `/proc` magic links but `unrestricted`.
        fileprivate var flags: UInt64 {
            switch self {
            case .inRoot: UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
            case .noSymlinks: UInt64(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
            case .unrestricted: 0
            }
        }
    }

    package init(taking descriptor: consuming OwnedDescriptor, path: FilePath) {
        self.descriptor = descriptor
        self.path = path
    }

    /// Opens a folder of the builder's own by its path.
    package convenience init(opening path: FilePath) throws(SystemError) {
        self.init(taking: try OwnedDescriptor.open(path, O_RDONLY | O_DIRECTORY), path: path)
    }

    /// Opens a folder, making it and its missing parents (mode 0700) first.
    package convenience init(creating path: FilePath) throws(SystemError) {
        var made = FilePath()
        made.root = path.root
        for component in path.components {
            made.append(component)
            let result = made.withCString { mkdir($0, 0o700) }
            guard result == 0 || errno == EEXIST || errno == EISDIR else { throw .last("mkdir", made) }
        }
        try self.init(opening: path)
    }

    // MARK: Opening

    package func open(
        _ path: FilePath, _ flags: Int32, mode: UInt32 = 0, _ resolution: Resolution
    ) throws(SystemError) -> OwnedDescriptor {
        while true {
            let opened = path.withCString { name in
                imgbuild_openat2(
                    descriptor.raw, name, UInt64(UInt32(bitPattern: flags | O_CLOEXEC)), UInt64(mode), resolution.flags)
            }
            if opened >= 0 { return OwnedDescriptor(taking: opened) }
            // EAGAIN: a rename elsewhere raced with the walk of "..": the kernel asks to try again.
            guard errno == EINTR || errno == EAGAIN else { throw .last("openat2", path) }
        }
    }

    package func openDirectory(_ path: FilePath, _ resolution: Resolution) throws(SystemError) -> Directory {
        Directory(
            taking: try open(path, O_RDONLY | O_DIRECTORY, resolution), path: self.path.appending(path.components))
    }

    /// The folder itself again, with a read position of its own.
    package func reopened() throws(SystemError) -> Directory {
        Directory(taking: try open(".", O_RDONLY | O_DIRECTORY, .noSymlinks), path: path)
    }

    // MARK: One name in this folder (a single component; never followed when it is a symlink)

    package func status(of name: FilePath) throws(SystemError) -> FileStatus {
        var status = stat()
        let result = name.withCString { fstatat(descriptor.raw, $0, &status, AT_SYMLINK_NOFOLLOW) }
        guard result == 0 else { throw .last("fstatat", name) }
        return FileStatus(status)
    }

    /// As `status(of:)`, with `nil` where nothing has that name.
    package func statusIfPresent(of name: FilePath) throws(SystemError) -> FileStatus? {
        do {
            return try status(of: name)
        } catch  where error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory {
            return nil
        }
    }

    package func readLink(_ name: FilePath) throws(SystemError) -> FilePath {
        // PATH_MAX: no file system stores a longer target.
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = name.withCString { readlinkat(descriptor.raw, $0, &buffer, Int(PATH_MAX)) }
        guard count >= 0 else { throw .last("readlinkat", name) }
        return FilePath(bytes: buffer[..<count].map { UInt8(bitPattern: $0) })
    }

    package func makeDirectory(_ name: FilePath, mode: UInt32) throws(SystemError) {
        guard name.withCString({ mkdirat(descriptor.raw, $0, mode) }) == 0 else { throw .last("mkdirat", name) }
    }

    package func makeSymlink(_ name: FilePath, to target: FilePath) throws(SystemError) {
        let result = name.withCString { name in
            target.withCString { target in symlinkat(target, descriptor.raw, name) }
        }
        guard result == 0 else { throw .last("symlinkat", name) }
    }

    /// Gives a folder of this folder the owner, mode and time of modification that `status` says.
    package func setOwnerModeAndTime(of name: FilePath, _ status: FileStatus) throws(SystemError) {
        try openDirectory(name, .noSymlinks).descriptor.setOwnerModeAndTime(status, naming: name)
    }

    /// Removes one name: an empty folder with `directory`, anything else without.
    package func remove(_ name: FilePath, directory: Bool = false) throws(SystemError) {
        guard name.withCString({ unlinkat(descriptor.raw, $0, directory ? AT_REMOVEDIR : 0) }) == 0 else {
            throw .last("unlinkat", name)
        }
    }

    /// Gives a name of this folder another name, here or in `other`, replacing what may be replaced.
    package func rename(_ name: FilePath, to newName: FilePath, in other: Directory? = nil) throws(SystemError) {
        let result = name.withCString { old in
            newName.withCString { new in renameat(descriptor.raw, old, (other ?? self).descriptor.raw, new) }
        }
        guard result == 0 else { throw .last("renameat", name) }
    }

    /// Removes a name and all below it, never following a symlink and never crossing into another file system.
    ///
    /// A name that is not there is a success.
    package func removeTree(_ name: FilePath) throws(SystemError) {
        guard let status = try statusIfPresent(of: name) else { return }
        guard status.kind == .directory else { return try remove(name) }
        guard status.device == (try descriptor.status()).device else {
            throw SystemError(call: "unlinkat", path: name, errno: .resourceBusy)
        }
        try clear(name, below: self)
    }

    /// Empties and removes `name` of `parent` with a stack instead of recursion: depth is the input's choice.
    private func clear(_ name: FilePath, below parent: Directory) throws(SystemError) {
        var descent = FolderDescent(from: parent)
        var stack: [(name: FilePath, rest: [FilePath])] = []
        func push(_ name: FilePath) throws(SystemError) {
            // A folder without permission for its owner is made passable first (we may not be root).
            let flags = O_RDONLY | O_DIRECTORY
            let opened: OwnedDescriptor
            do {
                opened = try descent.current.open(name, flags, .noSymlinks)
            } catch  where error.errno == .permissionDenied {
                _ = name.withCString { fchmodat(descent.current.descriptor.raw, $0, 0o700, 0) }
                opened = try descent.current.open(name, flags, .noSymlinks)
            }
            let folder = Directory(taking: opened, path: name)
            // Nor may others than root take names out of a folder that is read-only. If it fails, the removal will say so.
            if geteuid() != 0 { _ = fchmod(folder.descriptor.raw, 0o700) }
            stack.append((name, try folder.names()))
            try descent.enter(folder)
        }
        try push(name)
        while let last = stack.indices.last {
            guard let next = stack[last].rest.popLast() else {
                try descent.leave()
                try descent.current.remove(stack.removeLast().name, directory: true)
                continue
            }
            do throws(SystemError) {
                try descent.current.remove(next)
            } catch {
                guard error.errno == .isDirectory || error.errno == .notPermitted || error.errno == .permissionDenied,
                    try descent.current.status(of: next).kind == .directory
                else { throw error }
                try push(next)
            }
        }
    }

    // MARK: Listing

    /// All names in this folder but `.` and `..`, in the file system's order.
    package func names() throws(SystemError) -> [FilePath] {
        let copy = try open(".", O_RDONLY | O_DIRECTORY, .noSymlinks)
        guard let stream = fdopendir(copy.raw) else { throw .last("fdopendir", path) }
        _ = copy.release()  // closedir closes it
        defer { closedir(stream) }
        var names: [FilePath] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw .last("readdir", path) }
                return names
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                FilePath(bytes: raw.prefix { $0 != 0 })
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }

    // MARK: Extended attributes

    /// The extended attributes of a name in this folder, sorted by name; empty where the file system has none.
    package func attributes(of name: FilePath) throws(SystemError) -> [ExtendedAttribute] {
        try ExtendedAttribute.list(at: procPath(of: name), naming: name)
    }

    package func setAttribute(_ attribute: ExtendedAttribute, on name: FilePath) throws(SystemError) {
        try attribute.set(at: procPath(of: name), naming: name)
    }

    package func removeAttribute(named attribute: String, of name: FilePath) throws(SystemError) {
        guard procPath(of: name).withCString({ imgbuild_lremovexattr($0, attribute) }) == 0 else {
            throw .last("lremovexattr", name)
        }
    }

    /// The name as a path that the xattr calls take: they have no variant relative to a descriptor before Linux 6.13.
    private func procPath(of name: FilePath) -> FilePath {
        FilePath("/proc/self/fd/\(descriptor.raw)").appending(name.components)
    }
}
