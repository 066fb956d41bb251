import Dockerfile
import Glibc
import Layers
import Sandbox
import SystemIO
import SystemPackage

/// The mounts of one RUN where nothing can be mounted: what they show is laid into the flat tree, and taken out again.
///
/// What the image has at those names waits in a scratch folder meanwhile. What a RUN writes to a read-only mount is thrown
/// away instead of refused; all else is as with real mounts.
struct FlatMounts {
    private let cancellation: Cancellation
    private let root: Directory
    private let waiting: Directory
    private var guests: [Guest] = []

    private struct Guest {
        let path: ImagePath
        /// Where the image's own file waits.
        var saved: FilePath?
        /// Goes back where it came from.
        var lease: CacheLease?
        var forwarder: AgentForwarder?
        /// Folders that were made for it, outermost first.
        var made: [ImagePath] = []
    }

    /// The names that will be covered: no change there is the image's.
    static func targets(_ prepared: [PreparedMount], in root: Directory) throws -> Set<[UInt8]> {
        let view = UnionTree(layers: [.plain(root)])
        return Set(try prepared.map { try view.resolve($0.target.bytes, followLast: true).path })
    }

    /// Lays everything in. After a failure all is as before.
    init(
        placing prepared: [PreparedMount], in root: Directory, scratch: Scratch, cancellation: Cancellation
    ) throws {
        self.cancellation = cancellation
        self.root = root
        waiting = try scratch.makeFolder("waiting")
        do {
            // Outer targets first, so that inner ones are not covered.
            for mount in prepared.sorted(by: { $0.target.components.count < $1.target.components.count }) {
                do { try place(mount) } catch {
                    throw BuildError(error, doing: "the mount on '\(mount.target.printable)' cannot be made").at(
                        mount.range)
                }
            }
        } catch {
            try leave()
            throw error
        }
    }

    private mutating func place(_ mount: PreparedMount) throws {
        // A view for each: the tree changes between them.
        let place = try UnionTree(layers: [.plain(root)]).resolve(mount.target.bytes, followLast: true)
        let path = ImagePath(trusting: place.path)
        guard !path.isRoot else { throw mount.rootFault }
        let name = FilePath(bytes: path.name)
        var guest = Guest(path: path)
        switch place {
        case .notDirectory: throw mount.fileFault
        case .found:
            let saved = FilePath("\(guests.count)")
            try open(path.parent).rename(name, to: saved, in: waiting)
            guest.saved = saved
        case .missing(let parent, let rest):
            var folder = ImagePath(trusting: parent.path)
            for name in rest.dropLast() {
                try open(folder).makeDirectory(FilePath(bytes: name), mode: 0o755)
                folder = folder.appending(name)
                guest.made.append(folder)
            }
        }
        // From here on it is taken out again, whatever happens.
        guests.append(guest)
        let parent = try open(path.parent)
        switch mount.content {
        case .file(let file): try write(file, as: name, in: parent)
        case .temporary:
            try parent.makeDirectory(name, mode: 0o700)
            let folder = try parent.openDirectory(name, .noSymlinks)
            // As the kernel makes the root of a tmpfs.
            guard fchmod(folder.descriptor.raw, 0o1777) == 0 else { throw SystemError.last("fchmod", name) }
        case .cache(let lease, let readOnly):
            // A cache that is here already, at another name of this RUN.
            let other = guests.last { $0.lease === lease }?.path
            if readOnly {
                let folder =
                    try other.map { (path) throws(SystemError) in try open(path) }
                    ?? lease.instance.openDirectory(CacheLease.contents, .noSymlinks)
                try copy(try MountTree("", in: .init(folder, keepsOwners: true), trees: [folder]), to: name, in: parent)
            } else if let other {
                try parent.makeSymlink(name, to: FilePath(bytes: [UInt8(ascii: "/")] + other.bytes))
            } else {
                try move(lease, to: name, in: parent)
                guests[guests.count - 1].lease = lease
            }
        case .agent(let socket):
            guests[guests.count - 1].forwarder = try AgentForwarder(to: socket, as: name, in: parent)
        case .tree(let tree, _): try copy(tree, to: name, in: parent)
        }
    }

    private func move(_ lease: CacheLease, to name: FilePath, in parent: Directory) throws {
        do throws(SystemError) { try lease.instance.rename(CacheLease.contents, to: name, in: parent) } catch {
            guard error.errno == .improperLink else { throw error }
            throw BuildError(
                "with chroot isolation, mounts/ must be on the same file system as the rest of the state folder")
        }
    }

    private func copy(_ tree: MountTree, to name: FilePath, in parent: Directory) throws {
        try TreeCopy(cancellation: cancellation).copy(tree, to: name, in: parent)
    }

    private func write(_ memory: MemoryFile, as name: FilePath, in parent: Directory) throws(SystemError) {
        let file = try parent.open(name, O_CREAT | O_EXCL | O_WRONLY, mode: 0o600, .noSymlinks)
        try file.writeAll(memory.contents)
        guard fchown(file.raw, memory.uid, memory.gid) == 0 else { throw .last("fchown", name) }
        guard fchmod(file.raw, mode_t(memory.permissions)) == 0 else { throw .last("fchmod", name) }
        try file.close()
    }

    /// Takes everything out, innermost first, and puts back what was there. What the RUN itself has removed stays removed.
    func leave() throws {
        for guest in guests.reversed() {
            guest.forwarder?.stop()
            guard let parent = try openIfPresent(guest.path.parent) else { continue }
            let name = FilePath(bytes: guest.path.name)
            if let lease = guest.lease, try parent.statusIfPresent(of: name)?.kind == .directory {
                try parent.rename(name, to: CacheLease.contents, in: lease.instance)
            } else {
                try parent.removeTree(name)
            }
            if let saved = guest.saved { try waiting.rename(saved, to: name, in: parent) }
            for folder in guest.made.reversed() { try removeIfEmpty(folder) }
        }
    }

    private func open(_ path: ImagePath) throws(SystemError) -> Directory {
        path.isRoot ? root : try root.openDirectory(FilePath(bytes: path.bytes), .noSymlinks)
    }

    private func openIfPresent(_ path: ImagePath) throws(SystemError) -> Directory? {
        do throws(SystemError) { return try open(path) } catch {
            // Removed, or replaced by a file or a symlink.
            let gone: [Errno] = [.noSuchFileOrDirectory, .notDirectory, .tooManySymbolicLinkLevels]
            guard gone.contains(error.errno) else { throw error }
            return nil
        }
    }

    private func removeIfEmpty(_ path: ImagePath) throws(SystemError) {
        guard let parent = try openIfPresent(path.parent) else { return }
        let name = FilePath(bytes: path.name)
        guard try parent.statusIfPresent(of: name)?.kind == .directory else { return }
        do throws(SystemError) { try parent.remove(name, directory: true) } catch {
            guard error.errno == .directoryNotEmpty else { throw error }
        }
    }
}

extension CopyOperation.Source {
    /// All of a folder of the builder's.
    init(_ folder: Directory, keepsOwners: Bool) {
        self.init(
            tree: UnionTree(layers: [.plain(folder)]), ignored: .none, keepsOwners: keepsOwners,
            name: "'\(folder.path.printable)'")
    }
}
