import CSpawn
import CSupervisor
import Glibc
package import SystemPackage

/// One thing a new process does to itself before its program starts (`CSpawn.h` says how).
///
/// Names "in the root" are names below the folder of `setRoot`, where symlinks cannot lead out of it.
package enum SpawnStep: Sendable, Hashable {
    /// Nothing that is mounted or unmounted from here on is seen outside the process's mount namespace.
    case makeMountsPrivate
    /// Mounts on a path of the builder's own; `fallback` is tried when the kernel refuses an option of `data`.
    case mount(type: String, on: FilePath, flags: MountFlags, data: String, fallback: String? = nil)
    case setRoot(FilePath)
    /// As `mount`, on a name in the root; missing folders are made.
    case mountInRoot(type: String, on: FilePath, flags: MountFlags, data: String, fallback: String? = nil)
    /// Shows a file or folder at a name in the root; a missing name is made.
    case bind(Source, at: FilePath, readOnly: Bool, recursive: Bool = false)
    /// Makes a name in the root read-only; a missing one is passed over.
    case makeReadOnly(FilePath)
    /// Hides a name in the root behind an empty file or folder; a missing one is passed over.
    case mask(FilePath)
    case makeDirectory(FilePath, mode: UInt32)
    /// Makes a file at a path of the builder's own. The contents may be a secret: no description shows them.
    case writeFile(FilePath, contents: [UInt8], mode: UInt32, uid: UInt32, gid: UInt32)
    case makeSymlink(FilePath, to: FilePath)
    /// The root becomes `/`, and the old `/` is gone.
    case pivotRoot
    case changeRoot(FilePath)
    case changeDirectory(FilePath)
    /// Only where the plan makes no mount namespace: the descriptor would stay in the old one.
    case changeDirectoryTo(descriptor: Int32)
    /// Needs no right there: who made the namespace may join it.
    case joinUserNamespace(descriptor: Int32)
    case setHostName(String)
    case bringLoopbackUp
    case setFileModeMask(UInt32)
    /// Pipes among the standard streams belong to that user from here on, who else could not open `/dev/stdout`.
    case givePipes(user: UInt32)
    case dropBoundingSet(keeping: CapabilitySet)
    case setGroups([UInt32])
    case setGroup(UInt32)
    case setUser(UInt32)
    case dropCapabilities(keeping: CapabilitySet)
    case setNoNewPrivileges
    /// From here on the filter stops calls, which who has the other end of the socket answers. Needs `setNoNewPrivileges`.
    case filterCalls(CallFilter, socket: Int32)
    /// Others with the process's ids and rights may look into it before its program starts. Never with secrets in memory that they
    /// must not see.
    case openToOthers
    /// A file can be opened for reading.
    case tryOpen(FilePath)

    package enum Source: Sendable, Hashable {
        case path(FilePath)
        /// An open file or folder; it must still be where it was opened.
        case descriptor(Int32)
    }
}

/// A seccomp filter: instructions as the kernel takes them, `struct sock_filter` of `<linux/filter.h>`.
package struct CallFilter: Sendable, Hashable {
    let instructions: [UInt64]

    /// - Parameter keepsOwners: whether it stops the calls of `OwnerKeeper`, else those of `ProcSupervisor`.
    init(keepsOwners: Bool) {
        var program = [sock_filter](repeating: sock_filter(), count: Int(SUPERVISOR_FILTER_LIMIT))
        let count = program.withUnsafeMutableBufferPointer {
            imgbuild_supervisor_filter(keepsOwners ? 1 : 0, $0.baseAddress)
        }
        instructions = program.prefix(count).map { instruction in
            withUnsafeBytes(of: instruction) { $0.loadUnaligned(as: UInt64.self) }
        }
    }
}

/// `MS_*` of mount(2).
package struct MountFlags: OptionSet, Sendable, Hashable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static let readOnly = MountFlags(rawValue: 1)
    package static let noSetuid = MountFlags(rawValue: 2)
    package static let noDevices = MountFlags(rawValue: 4)
    package static let noExecute = MountFlags(rawValue: 8)
}

/// `CLONE_NEW*` of clone(2).
package struct Namespaces: OptionSet, Sendable, Hashable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static let mounts = Namespaces(rawValue: 0x0002_0000)
    package static let hostName = Namespaces(rawValue: 0x0400_0000)
    package static let ipc = Namespaces(rawValue: 0x0800_0000)
    package static let processes = Namespaces(rawValue: 0x2000_0000)
    package static let network = Namespaces(rawValue: 0x4000_0000)
}

/// Capabilities by their numbers in `<linux/capability.h>`.
package struct CapabilitySet: OptionSet, Sendable, Hashable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package init(numbers: [Int]) {
        rawValue = numbers.reduce(0) { $0 | 1 << UInt64($1) }
    }
}

extension SpawnStep: CustomStringConvertible {
    /// What the step does, for the message that says that it failed.
    package var description: String {
        switch self {
        case .makeMountsPrivate: "make mounts private"
        case .mount(let type, let target, _, _, _): "mount \(type) on \(target.printable)"
        case .setRoot(let path): "open the root \(path.printable)"
        case .mountInRoot(let type, let target, _, _, _): "mount \(type) on \(target.printable)"
        case .bind(.path(let source), let target, _, _): "bind \(source.printable) at \(target.printable)"
        case .bind(.descriptor, let target, _, _): "bind a descriptor at \(target.printable)"
        case .makeReadOnly(let path): "make \(path.printable) read-only"
        case .mask(let path): "hide \(path.printable)"
        case .makeDirectory(let path, _): "make the folder \(path.printable)"
        case .writeFile(let path, _, _, _, _): "write the file \(path.printable)"
        case .makeSymlink(let path, _): "make the symlink \(path.printable)"
        case .pivotRoot: "change the root"
        case .changeRoot(let path): "change the root to \(path.printable)"
        case .changeDirectory(let path): "change to the folder \(path.printable)"
        case .changeDirectoryTo: "change to an open folder"
        case .joinUserNamespace: "join the user namespace"
        case .setHostName(let name): "set the host name \(name)"
        case .bringLoopbackUp: "bring the loopback device up"
        case .setFileModeMask: "set the umask"
        case .givePipes: "give the standard streams to the user"
        case .dropBoundingSet, .dropCapabilities: "drop capabilities"
        case .setGroups(let groups): "set groups \(groups)"
        case .setGroup(let gid): "set gid \(gid)"
        case .setUser(let uid): "set uid \(uid)"
        case .setNoNewPrivileges: "set no_new_privs"
        case .filterCalls: "install a filter of system calls"
        case .openToOthers: "open the process to others"
        case .tryOpen(let path): "open \(path.printable)"
        }
    }
}

/// Memory of C strings and lists that lives as long as the plan that points into it.
final class SpawnMemory {
    private var allocations: [UnsafeMutableRawPointer] = []
    /// Set when a string held a NUL, which C would read as its end.
    private(set) var heldNul = false

    deinit {
        for allocation in allocations { allocation.deallocate() }
    }

    func list<T: BitwiseCopyable>(_ values: [T]) -> UnsafeMutablePointer<T> {
        let memory = UnsafeMutablePointer<T>.allocate(capacity: max(1, values.count))
        for (index, value) in values.enumerated() { (memory + index).initialize(to: value) }
        allocations.append(UnsafeMutableRawPointer(memory))
        return memory
    }

    func string(_ bytes: [UInt8]) -> UnsafeMutablePointer<CChar> {
        if bytes.contains(0) { heldNul = true }
        return list(bytes.map { CChar(bitPattern: $0) } + [0])
    }

    func string(_ text: String) -> UnsafeMutablePointer<CChar> { string(Array(text.utf8)) }

    func strings(_ texts: [String]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> {
        list(texts.map { string($0) } + [nil])
    }

    func step(_ step: SpawnStep) -> spawn_step {
        var raw = spawn_step()
        raw.descriptor = -1
        func set(_ kind: spawn_step_kind) { raw.kind = Int32(kind.rawValue) }
        func target(_ path: FilePath) { raw.target = UnsafePointer(string(path.bytes)) }
        func mount(_ type: String, _ path: FilePath, _ flags: MountFlags, _ data: String) {
            target(path)
            raw.source = UnsafePointer(string(type))
            raw.type = raw.source
            raw.flags = flags.rawValue
            raw.data = UnsafePointer(string(data))
        }
        switch step {
        case .makeMountsPrivate: set(SPAWN_MOUNTS_PRIVATE)
        case .mount(let type, let path, let flags, let data, let fallback):
            set(SPAWN_MOUNT)
            mount(type, path, flags, data)
            if let fallback { raw.fallback = UnsafePointer(string(fallback)) }
        case .setRoot(let path):
            set(SPAWN_SET_ROOT)
            target(path)
        case .mountInRoot(let type, let path, let flags, let data, let fallback):
            set(SPAWN_MOUNT_IN_ROOT)
            mount(type, path, flags, data)
            if let fallback { raw.fallback = UnsafePointer(string(fallback)) }
        case .bind(let source, let path, let readOnly, let recursive):
            set(SPAWN_BIND)
            target(path)
            switch source {
            case .path(let path): raw.source = UnsafePointer(string(path.bytes))
            case .descriptor(let descriptor):
                raw.descriptor = descriptor
                raw.source = UnsafePointer(string("/proc/self/fd/\(descriptor)"))
            }
            raw.flags =
                (readOnly ? UInt64(SPAWN_BIND_READ_ONLY) : 0) | (recursive ? UInt64(SPAWN_BIND_RECURSIVE) : 0)
        case .makeReadOnly(let path):
            set(SPAWN_READ_ONLY)
            target(path)
        case .mask(let path):
            set(SPAWN_MASK)
            target(path)
        case .makeDirectory(let path, let mode):
            set(SPAWN_MAKE_DIRECTORY)
            target(path)
            raw.mode = mode
        case .writeFile(let path, let contents, let mode, let uid, let gid):
            set(SPAWN_WRITE_FILE)
            target(path)
            raw.flags = UInt64(contents.count)
            raw.data = UnsafePointer(list(contents.map { CChar(bitPattern: $0) }))
            raw.mode = mode
            raw.ids = UnsafePointer(list([uid, gid]))
            raw.id_count = 2
        case .makeSymlink(let path, let destination):
            set(SPAWN_SYMLINK)
            target(path)
            raw.source = UnsafePointer(string(destination.bytes))
        case .pivotRoot: set(SPAWN_PIVOT_ROOT)
        case .changeRoot(let path):
            set(SPAWN_CHROOT)
            target(path)
        case .changeDirectory(let path):
            set(SPAWN_CHDIR)
            target(path)
        case .changeDirectoryTo(let descriptor):
            set(SPAWN_CHANGE_TO_DESCRIPTOR)
            raw.descriptor = descriptor
        case .joinUserNamespace(let descriptor):
            set(SPAWN_JOIN_USER_NAMESPACE)
            raw.descriptor = descriptor
        case .setHostName(let name):
            set(SPAWN_HOST_NAME)
            raw.source = UnsafePointer(string(name))
        case .bringLoopbackUp: set(SPAWN_LOOPBACK_UP)
        case .setFileModeMask(let mask):
            set(SPAWN_UMASK)
            raw.mode = mask
        case .givePipes(let user):
            set(SPAWN_GIVE_PIPES)
            raw.mode = user
        case .dropBoundingSet(let kept):
            set(SPAWN_BOUNDING_SET)
            raw.flags = kept.rawValue
        case .setGroups(let groups):
            set(SPAWN_GROUPS)
            raw.ids = UnsafePointer(list(groups))
            raw.id_count = UInt32(groups.count)
        case .setGroup(let gid):
            set(SPAWN_GROUP)
            raw.mode = gid
        case .setUser(let uid):
            set(SPAWN_USER)
            raw.mode = uid
        case .dropCapabilities(let kept):
            set(SPAWN_CAPABILITIES)
            raw.flags = kept.rawValue
        case .setNoNewPrivileges: set(SPAWN_NO_NEW_PRIVILEGES)
        case .filterCalls(let filter, let socket):
            set(SPAWN_FILTER_CALLS)
            raw.data = UnsafePointer(
                UnsafeRawPointer(list(filter.instructions)).assumingMemoryBound(to: CChar.self))
            raw.flags = UInt64(filter.instructions.count)
            raw.descriptor = socket
        case .openToOthers: set(SPAWN_OPEN_TO_OTHERS)
        case .tryOpen(let path):
            set(SPAWN_TRY_OPEN)
            target(path)
        }
        return raw
    }
}
