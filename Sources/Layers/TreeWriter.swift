import Glibc
import SystemIO
import SystemPackage

/// Puts the entries of one layer into a tree; see `LayerUnpacker` for the rules.
struct TreeWriter {
    private let root: Directory
    private let convention: TreeConvention
    private let layer: String
    private let impliedOwner: (uid: UInt32, gid: UInt32)
    private var folders: FolderCache
    /// Attributes of folders, by their real path, to be set when all is in place.
    private var deferred: [[UInt8]: FolderAttributes] = [:]
    private var refused: Set<String> = []
    private var isRootOpaque = false
    /// Flat trees: the real paths that this layer put there, which its whiteouts spare.
    private var placed: Set<[UInt8]> = []

    private struct FolderAttributes {
        var inode: UInt64
        var permissions: UInt16
        var modified: Timestamp
        var isImplied: Bool
    }

    /// Where an entry goes.
    private struct Place {
        let folder: FolderCache.Folder
        let name: [UInt8]

        var path: [UInt8] { folder.path.isEmpty ? name : folder.path + [UInt8(ascii: "/")] + name }
        var raw: Int32 { folder.directory.descriptor.raw }
    }

    /// - Parameter impliedOwner: of folders that no entry describes.
    init(
        root: Directory, convention: TreeConvention, layer: String,
        impliedOwner: (uid: UInt32, gid: UInt32) = (0, 0)
    ) throws(LayerError) {
        self.root = root
        self.impliedOwner = impliedOwner
        self.convention = convention
        self.layer = layer
        folders = FolderCache(root: root, honoursWhiteouts: convention != .flat)
    }

    // MARK: Regular files

    /// Makes the file of an entry, empty and private.
    mutating func create(_ entry: LayerEntry) throws(LayerError) -> OwnedDescriptor {
        do throws(SystemError) {
            let place = try place(of: entry.path)
            let flags = O_WRONLY | O_CREAT | O_EXCL
            do {
                let file = try place.folder.directory.openName(place.name, flags, mode: 0o600)
                note(place)
                return file
            } catch  where error.errno == .fileExists {
                try clear(place)
                let file = try place.folder.directory.openName(place.name, flags, mode: 0o600)
                note(place)
                return file
            }
        } catch {
            throw failure(error, entry)
        }
    }

    func write(_ block: TarReader.Block, to file: borrowing OwnedDescriptor, of entry: LayerEntry) throws(LayerError) {
        do throws(SystemError) {
            try file.writeAll(block.bytes, at: block.offset)
        } catch {
            throw failure(error, entry)
        }
    }

    /// Gives a written file its attributes and closes it.
    mutating func complete(_ file: consuming OwnedDescriptor, _ entry: LayerEntry, size: Int64) throws(LayerError) {
        do throws(SystemError) {
            if try file.status().size != size {
                guard ftruncate(file.raw, off_t(size)) == 0 else { throw .last("ftruncate") }
            }
            guard fchown(file.raw, entry.uid, entry.gid) == 0 else { throw .last("fchown") }
            guard fchmod(file.raw, mode_t(entry.permissions)) == 0 else { throw .last("fchmod") }
            for attribute in entry.attributes {
                do {
                    try file.setAttribute(attribute)
                } catch {
                    try refuse(attribute, error)
                }
            }
            let times = entry.modified.asModificationTime
            guard futimens(file.raw, times) == 0 else { throw .last("futimens") }
            try file.close()
        } catch {
            throw failure(error, entry)
        }
    }

    // MARK: All others

    /// Puts an entry without content in its place.
    mutating func place(_ entry: LayerEntry) throws(LayerError) {
        do throws(SystemError) {
            switch entry.kind {
            case .file: preconditionFailure("a file is created, written and completed")
            case .directory: try makeFolder(entry)
            case .whiteout: try whiteOut(entry.path)
            case .opaqueMarker: try makeOpaque(entry.path)
            case .hardLink(let target): try link(entry.path, to: target)
            case .symlink(let target):
                let place = try place(of: entry.path)
                let made = { target.withCName { target in place.name.withCName { symlinkat(target, place.raw, $0) } } }
                if made() != 0 {
                    try expect(EEXIST, "symlinkat", place)
                    try clear(place)
                    guard made() == 0 else { throw .last("symlinkat", FilePath(bytes: place.name)) }
                }
                note(place)
                try setAttributes(of: entry, at: place, permissions: false)
            case .characterDevice(let number):
                guard convention == .flat || number != DeviceNumber(major: 0, minor: 0) else {
                    throw SystemError(call: "mknodat", path: FilePath(bytes: entry.path), errno: .invalidArgument)
                }
                try makeNode(entry, S_IFCHR, number)
            case .blockDevice(let number): try makeNode(entry, S_IFBLK, number)
            case .fifo: try makeNode(entry, S_IFIFO, DeviceNumber(major: 0, minor: 0))
            }
        } catch {
            throw failure(error, entry)
        }
    }

    private mutating func makeNode(_ entry: LayerEntry, _ type: mode_t, _ number: DeviceNumber) throws(SystemError) {
        let place = try place(of: entry.path)
        let device = dev_t(number.combined)
        if place.name.withCName({ mknodat(place.raw, $0, type | 0o600, device) }) != 0 {
            try expect(EEXIST, "mknodat", place)
            try clear(place)
            guard place.name.withCName({ mknodat(place.raw, $0, type | 0o600, device) }) == 0 else {
                throw .last("mknodat", FilePath(bytes: place.name))
            }
        }
        note(place)
        try setAttributes(of: entry, at: place, permissions: true)
    }

    private mutating func makeFolder(_ entry: LayerEntry) throws(SystemError) {
        guard !entry.path.isEmpty else { return try describeRoot(entry) }
        let place = try place(of: entry.path)
        if place.name.withCName({ mkdirat(place.raw, $0, 0o700) }) != 0 {
            try expect(EEXIST, "mkdirat", place)
            if try status(at: place)?.kind != .directory {
                let wasWhiteout = try clear(place)
                try place.folder.directory.makeDirectory(FilePath(bytes: place.name), mode: 0o700)
                if wasWhiteout { try markOpaque(place.folder.directory, place.name) }
            }
        }
        note(place)
        guard place.name.withCName({ fchownat(place.raw, $0, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) }) == 0 else {
            throw .last("fchownat", FilePath(bytes: place.name))
        }
        try setExtendedAttributes(of: entry, at: place)
        guard let status = try status(at: place) else { return }
        deferred[place.path] = FolderAttributes(
            inode: status.inode, permissions: entry.permissions, modified: entry.modified, isImplied: false)
    }

    private mutating func describeRoot(_ entry: LayerEntry) throws(SystemError) {
        let folder = try root.open(".", O_RDONLY | O_DIRECTORY, .noSymlinks)
        guard fchown(folder.raw, entry.uid, entry.gid) == 0 else { throw .last("fchown") }
        for attribute in entry.attributes {
            do {
                try folder.setAttribute(attribute)
            } catch {
                try refuse(attribute, error)
            }
        }
        deferred[[]] = FolderAttributes(
            inode: try folder.status().inode, permissions: entry.permissions, modified: entry.modified, isImplied: false
        )
    }

    private mutating func link(_ path: [UInt8], to target: [UInt8]) throws(SystemError) {
        let source = try place(of: target, making: false)
        guard let sourceStatus = try status(at: source), sourceStatus.kind != .directory,
            !(convention != .flat && sourceStatus.isOverlayWhiteout)
        else {
            throw SystemError(call: "linkat", path: FilePath(bytes: target), errno: .noSuchFileOrDirectory)
        }
        let place = try place(of: path)
        // No AT_SYMLINK_FOLLOW: a link to a symlink is another name of the symlink itself.
        let linked = {
            source.name.withCName { old in place.name.withCName { linkat(source.raw, old, place.raw, $0, 0) } }
        }
        if linked() != 0 {
            try expect(EEXIST, "linkat", place)
            guard let old = try status(at: place), old.inode != sourceStatus.inode else { return note(place) }
            try clear(place)
            guard linked() == 0 else { throw .last("linkat", FilePath(bytes: place.name)) }
        }
        note(place)
    }

    // MARK: Deletions

    private mutating func whiteOut(_ path: [UInt8]) throws(SystemError) {
        let place = try place(of: path)
        let status = try status(at: place)
        switch (convention, status) {
        case (.overlay, nil):
            guard place.name.withCName({ mknodat(place.raw, $0, S_IFCHR, 0) }) == 0 else {
                throw .last("mknodat", FilePath(bytes: place.name))
            }
        case (.overlay, let status?):
            // The layer's own folder takes the place of the lower one; anything else hides it anyway.
            if status.kind == .directory { try markOpaque(place.folder.directory, place.name) }
        case (.flat, nil): break
        case (.flat, let status?):
            if status.kind == .directory {
                let folder = try place.folder.directory.openName(place.name, O_RDONLY | O_DIRECTORY)
                try purge(Directory(taking: folder, path: FilePath()), place.path)
                guard !placed.contains(place.path) else { return }
                if place.name.withCName({ unlinkat(place.raw, $0, AT_REMOVEDIR) }) != 0 {
                    // It holds something of this layer: an implied folder from now on.
                    try expect(ENOTEMPTY, "unlinkat", place)
                }
                folders.forget()
            } else if !placed.contains(place.path) {
                try place.folder.directory.remove(FilePath(bytes: place.name))
                folders.forget()
            }
        }
    }

    private mutating func makeOpaque(_ path: [UInt8]) throws(SystemError) {
        let folder = try folder(path)
        switch convention {
        case .flat:
            let copy = try folder.directory.open(".", O_RDONLY | O_DIRECTORY, .noSymlinks)
            try purge(Directory(taking: copy, path: FilePath()), folder.path)
        case .overlay where path.isEmpty: isRootOpaque = true
        case .overlay: try markOpaque(folder.directory, [])
        }
        if path.isEmpty { isRootOpaque = true }
    }

    private func markOpaque(_ folder: Directory, _ name: [UInt8]) throws(SystemError) {
        guard case .overlay(let namespace) = convention else { return }
        try folder.setAttribute(
            ExtendedAttribute(name: namespace.opaque, value: [UInt8(ascii: "y")]), onName: name)
    }

    /// Removes from a flat tree all below a folder that is not of this layer; other file systems are not entered.
    private mutating func purge(_ top: Directory, _ path: [UInt8]) throws(SystemError) {
        // A stack instead of recursion: depth is the input's choice.
        var stack: [(directory: Directory, path: [UInt8], rest: [Directory.Name])] = []
        stack.append((top, path, try top.sortedNames().reversed()))
        let device = try top.descriptor.status().device
        folders.forget()
        while let level = stack.last {
            guard let next = level.rest.last else {
                stack.removeLast()
                guard let parent = stack.last, !placed.contains(level.path) else { continue }
                let name = Array(
                    level.path.suffix(level.path.count - parent.path.count).drop { $0 == UInt8(ascii: "/") })
                // ENOTEMPTY: something of this layer is in it.
                guard
                    name.withCName({ unlinkat(parent.directory.descriptor.raw, $0, AT_REMOVEDIR) }) == 0
                        || errno == ENOTEMPTY
                else { throw .last("unlinkat", FilePath(bytes: name)) }
                continue
            }
            stack[stack.count - 1].rest.removeLast()
            guard let status = try level.directory.statusIfPresent(ofName: next.bytes), status.device == device else {
                continue
            }
            let path = level.path.isEmpty ? next.bytes : level.path + [UInt8(ascii: "/")] + next.bytes
            if status.kind == .directory {
                let folder = Directory(
                    taking: try level.directory.openName(next.bytes, O_RDONLY | O_DIRECTORY), path: FilePath())
                stack.append((folder, path, try folder.sortedNames().reversed()))
            } else if !placed.contains(path) {
                try level.directory.remove(FilePath(bytes: next.bytes))
            }
        }
    }

    // MARK: The end

    /// Sets modes and times of folders, and tells which of them no entry described.
    mutating func finish() throws(LayerError) -> UnpackedTree {
        var tree = UnpackedTree(isRootOpaque: isRootOpaque, refusedAttributes: refused.sorted())
        for (path, attributes) in deferred {
            do throws(SystemError) {
                let folder: OwnedDescriptor
                do {
                    folder = try root.open(bytes: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, .noSymlinks)
                } catch
                    where [.noSuchFileOrDirectory, .notDirectory, .tooManySymbolicLinkLevels].contains(error.errno)
                {
                    continue  // replaced by a later entry
                }
                guard try folder.status().inode == attributes.inode else { continue }
                guard fchmod(folder.raw, mode_t(attributes.permissions)) == 0 else { throw .last("fchmod") }
                let times = attributes.modified.asModificationTime
                guard futimens(folder.raw, times) == 0 else { throw .last("futimens") }
                if attributes.isImplied { tree.impliedDirectories.append(path) }
            } catch {
                throw failure(error, LayerEntry(path: path, kind: .directory))
            }
        }
        tree.impliedDirectories.sort { $0.lexicographicallyPrecedes($1) }
        return tree
    }

    // MARK: Pieces

    private mutating func place(of path: [UInt8], making: Bool = true) throws(SystemError) -> Place {
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return Place(folder: folders.root, name: path) }
        return Place(folder: try folder(Array(path[..<slash]), making: making), name: Array(path[(slash + 1)...]))
    }

    /// The folder of an entry, made with its parents where they are missing.
    private mutating func folder(_ path: [UInt8], making: Bool = true) throws(SystemError) -> FolderCache.Folder {
        var made: [(path: [UInt8], inode: UInt64)] = []
        let (convention, owner) = (convention, impliedOwner)
        let folder = try folders.folder(path) { parent, name, obstacle throws(SystemError) in
            guard making else {
                throw SystemError(call: "open", path: FilePath(bytes: name), errno: .noSuchFileOrDirectory)
            }
            let file = FilePath(bytes: name)
            if obstacle == .whiteout { try parent.directory.remove(file) }
            try parent.directory.makeDirectory(file, mode: 0o700)
            if obstacle == .whiteout, case .overlay(let namespace) = convention {
                let attribute = ExtendedAttribute(name: namespace.opaque, value: [UInt8(ascii: "y")])
                try parent.directory.setAttribute(attribute, onName: name)
            }
            let raw = parent.directory.descriptor.raw
            guard name.withCName({ fchownat(raw, $0, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) }) == 0 else {
                throw .last("fchownat", file)
            }
            let status = try parent.directory.status(of: file)
            made.append((parent.path.isEmpty ? name : parent.path + [UInt8(ascii: "/")] + name, status.inode))
        }
        for folder in made {
            deferred[folder.path] = FolderAttributes(
                inode: folder.inode, permissions: 0o755, modified: Timestamp(seconds: 0), isImplied: true)
        }
        return folder
    }

    private func status(at place: Place) throws(SystemError) -> FileStatus? {
        try place.folder.directory.statusIfPresent(ofName: place.name)
    }

    private mutating func note(_ place: Place) {
        if convention == .flat { placed.insert(place.path) }
    }

    /// Removes what has the name; says whether it was a whiteout.
    @discardableResult
    private mutating func clear(_ place: Place) throws(SystemError) -> Bool {
        guard let status = try status(at: place) else { return false }
        let name = FilePath(bytes: place.name)
        switch status.kind {
        case .directory:
            folders.forget()
            try place.folder.directory.removeTree(name)
        case .symlink:
            folders.forget()
            try place.folder.directory.remove(name)
        default: try place.folder.directory.remove(name)
        }
        return convention != .flat && status.isOverlayWhiteout
    }

    private mutating func setAttributes(of entry: LayerEntry, at place: Place, permissions: Bool) throws(SystemError) {
        let name = FilePath(bytes: place.name)
        guard place.name.withCName({ fchownat(place.raw, $0, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) }) == 0 else {
            throw .last("fchownat", name)
        }
        // The node was made by us a moment ago: fchmodat, which follows links, has none to follow.
        if permissions {
            guard place.name.withCName({ fchmodat(place.raw, $0, mode_t(entry.permissions), 0) }) == 0 else {
                throw .last("fchmodat", name)
            }
        }
        try setExtendedAttributes(of: entry, at: place)
        let times = entry.modified.asModificationTime
        guard place.name.withCName({ utimensat(place.raw, $0, times, AT_SYMLINK_NOFOLLOW) }) == 0 else {
            throw .last("utimensat", name)
        }
    }

    private mutating func setExtendedAttributes(of entry: LayerEntry, at place: Place) throws(SystemError) {
        for attribute in entry.attributes {
            do {
                try place.folder.directory.setAttribute(attribute, onName: place.name)
            } catch {
                try refuse(attribute, error)
            }
        }
    }

    /// Attributes that this file system or our rights do not allow are told, not fatal: SELinux labels, `trusted.*` and
    /// `user.*` on a symlink are worth no failed build. Other failures are.
    private mutating func refuse(_ attribute: ExtendedAttribute, _ error: SystemError) throws(SystemError) {
        guard error.errno == .notSupported || error.errno == .notPermitted else { throw error }
        refused.insert(attribute.name)
    }

    /// Goes on only when the call that just failed did so with `number`.
    private func expect(_ number: Int32, _ call: String, _ place: Place) throws(SystemError) {
        guard errno == number else { throw .last(call, FilePath(bytes: place.name)) }
    }

    /// Failures that the layer brought about are its fault; the rest is ours to tell.
    private func failure(_ error: SystemError, _ entry: LayerEntry) -> LayerError {
        let name = FilePath.printable(entry.path)
        switch (error.errno, entry.kind) {
        case (.noSuchFileOrDirectory, .hardLink(let target)):
            return .invalid(
                layer: layer, entry: name,
                reason: "a hard link to '\(FilePath.printable(target))', which is no file of this layer")
        case (.notDirectory, _):
            return .invalid(layer: layer, entry: name, reason: "it lies below a file that is not a folder")
        case (.tooManySymbolicLinkLevels, _):
            return .invalid(layer: layer, entry: name, reason: "its name leads through too many symlinks")
        case (.invalidArgument, .characterDevice):
            return .invalid(
                layer: layer, entry: name, reason: "a 0:0 character device cannot be told from overlayfs's whiteouts")
        case (.fileNameTooLong, _), (.isDirectory, _), (.fileExists, _), (.tooManyLinks, _),
            (Errno(rawValue: EXDEV), _),
            (.noSuchFileOrDirectory, _), (.argListTooLong, _), (.outOfRange, _):
            return .invalid(layer: layer, entry: name, reason: "it cannot be placed (\(error))")
        default: return .system(error)
        }
    }
}
