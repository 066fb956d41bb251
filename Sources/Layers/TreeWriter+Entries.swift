import Glibc
import SystemIO
import SystemPackage

// What each kind of entry becomes.
extension TreeWriter {
    // MARK: Regular files

    /// Makes the file of an entry, empty; with its owner and mode already where that takes no call more.
    private mutating func create(_ entry: LayerEntry) throws(LayerError) -> OwnedDescriptor {
        do throws(SystemError) {
            let place = try place(of: entry.path)
            let flags = O_WRONLY | O_CREAT | O_EXCL
            let mode = isRightAtOnce(entry) ? UInt32(entry.permissions) : 0o600
            do {
                let file = try place.folder.directory.openName(place.name, flags, mode: mode)
                note(place)
                return file
            } catch  where error.errno == .fileExists {
                try clear(place)
                let file = try place.folder.directory.openName(place.name, flags, mode: mode)
                note(place)
                return file
            }
        } catch {
            throw failure(error, entry)
        }
    }

    /// Whether owner and mode of a new file are as they should be without another call. In a flat tree a folder may pass its
    /// group on (setgid); in a tree of our own folders get their modes at the end.
    private func isRightAtOnce(_ entry: LayerEntry) -> Bool {
        convention != .flat && creation.makes(uid: entry.uid, gid: entry.gid, permissions: entry.permissions)
    }

    /// Makes the file of an entry, with the content that `reader` has for it. It is complete when all are: after `finish`.
    mutating func placeFile(
        _ entry: LayerEntry, from reader: inout TarReader, _ cancellation: Cancellation
    ) throws(LayerError) {
        files.begin(
            try create(entry), entry, isRightAtOnce: isRightAtOnce(entry), number: convention == .flat ? number : nil)
        while let block = try reader.nextBlock() {
            guard !cancellation.isCancelled else { throw .cancelled }
            try files.write(block.bytes, at: block.offset)
        }
        try files.complete()
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
            case .symlink(let target): try makeSymlink(entry, to: target)
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

    private mutating func makeSymlink(_ entry: LayerEntry, to target: [UInt8]) throws(SystemError) {
        let place = try place(of: entry.path)
        let made = { target.withCName { target in place.name.withCName { symlinkat(target, place.raw, $0) } } }
        if made() != 0 {
            try expect(EEXIST, "symlinkat", place)
            try clear(place)
            guard made() == 0 else { throw .last("symlinkat", FilePath(bytes: place.name)) }
        }
        note(place)
        try setAttributes(of: entry, at: place, permissions: false)
    }

    private mutating func makeNode(_ entry: LayerEntry, _ type: mode_t, _ number: DeviceNumber) throws(SystemError) {
        let place = try place(of: entry.path)
        let made = { (type: mode_t, number: DeviceNumber) in
            place.name.withCName { mknodat(place.raw, $0, type | 0o600, dev_t(number.combined)) }
        }
        var failure = made(type, number) == 0 ? 0 : errno
        if failure == EEXIST {
            try clear(place)
            failure = made(type, number) == 0 ? 0 : errno
        }
        if failure == EPERM, type != S_IFIFO, case .overlay(.user) = convention {
            // No user namespace may make devices. The name shows as absent, also where a lower layer has it.
            result.leftOutDevices.append(place.path)
            failure = made(S_IFCHR, DeviceNumber(major: 0, minor: 0)) == 0 ? 0 : errno
            if failure == 0 { return note(place) }
        }
        guard failure == 0 else {
            throw SystemError(call: "mknodat", path: FilePath(bytes: place.name), errno: Errno(rawValue: failure))
        }
        note(place)
        try setAttributes(of: entry, at: place, permissions: true)
    }

    private mutating func makeFolder(_ entry: LayerEntry) throws(SystemError) {
        guard !entry.path.isEmpty else { return try describeRoot(entry) }
        let place = try place(of: entry.path)
        if place.name.withCName({ mkdirat(place.raw, $0, 0o700) }) != 0 {
            try expect(EEXIST, "mkdirat", place)
            if try status(at: place)?.kind == .directory {
                if let known = deferred[place.path], known.isImplied { assumeNothingBelow() }
                try dropAttributes(of: entry, at: place.name, in: place.folder.directory)
            } else {
                try clear(place)
                try place.folder.directory.makeDirectory(FilePath(bytes: place.name), mode: 0o700)
                // What was here hid what lower layers have: so does what takes its place.
                try markOpaque(place.folder.directory, place.name)
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
        try dropAttributes(of: entry, at: TreeWriter.itself, in: root)
        for attribute in entry.attributes {
            do {
                try folder.setAttribute(attribute)
            } catch {
                try refuse(attribute, error)
            }
        }
        result.isRootDescribed = true
        deferred[[]] = FolderAttributes(
            inode: try folder.status().inode, permissions: entry.permissions, modified: entry.modified, isImplied: false
        )
    }

    // MARK: Hard links

    private mutating func link(_ path: [UInt8], to target: [UInt8]) throws(SystemError) {
        guard let source = try linkSource(target) else { return try linkToLower(path, target) }
        guard let sourceStatus = try status(at: source) else { return }
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

    /// Where the file is that is to be linked; `nil` when the tree, which is not the whole image, does not have it.
    ///
    /// - Throws: ENOENT where there is no such file, or it is a folder.
    private mutating func linkSource(_ target: [UInt8]) throws(SystemError) -> Place? {
        let missing = SystemError(call: "linkat", path: FilePath(bytes: target), errno: .noSuchFileOrDirectory)
        let place: Place
        do throws(SystemError) {
            place = try self.place(of: target, making: false)
        } catch {
            guard error.errno == .noSuchFileOrDirectory, convention != .flat else { throw error }
            return nil
        }
        guard let status = try status(at: place) else {
            guard convention != .flat else { throw missing }
            return nil
        }
        guard status.kind != .directory, convention == .flat || !status.isOverlayWhiteout else { throw missing }
        return place
    }

    /// A hard link to a file of a lower layer: the name is the lower tree's file itself.
    private mutating func linkToLower(_ path: [UInt8], _ target: [UInt8]) throws(SystemError) {
        guard let lower else {
            result.dependsOnLower = true
            return
        }
        let place = try place(of: path)
        do throws(LayerError) {
            // With what the layer has deleted so far.
            let view = UnionTree(layers: [.overlay(root)] + (result.isRootOpaque ? [] : lower.layers))
            guard case .found(let node) = try view.resolve(target, followLast: false), node.status.kind != .directory,
                !node.path.isBelow(place.path)
            else { throw .system(SystemError(call: "linkat", errno: .noSuchFileOrDirectory)) }
            try clearAsLayer(place)
            try view.link(node, to: place.name, in: place.folder.directory)
        } catch {
            guard case .system(let error) = error else { throw SystemError(call: "linkat", errno: .ioError) }
            throw error
        }
        note(place)
    }

    private mutating func clearAsLayer(_ place: Place) throws(LayerError) {
        do throws(SystemError) { try clear(place) } catch { throw .system(error) }
    }

    // MARK: Attributes

    /// Removes what has the name.
    mutating func clear(_ place: Place) throws(SystemError) {
        guard let status = try status(at: place) else { return }
        let name = FilePath(bytes: place.name)
        switch status.kind {
        case .directory:
            assumeNothingBelow()
            folders.forget()
            try place.folder.directory.removeTree(name)
        case .symlink:
            folders.forget()
            try place.folder.directory.remove(name)
        default: try place.folder.directory.remove(name)
        }
    }

    /// A folder that was made up is replaced or described, and will not be told any more. Had a lower layer something else in its
    /// place, entries went elsewhere.
    private mutating func assumeNothingBelow() {
        if convention != .flat, lower == nil { result.dependsOnLower = true }
    }

    /// The name of a folder in itself.
    static let itself = [UInt8(ascii: ".")]

    /// Takes from a folder that was there already the extended attributes that `entry` does not give it.
    func dropAttributes(of entry: LayerEntry?, at name: [UInt8], in folder: Directory) throws(SystemError) {
        let kept = Set(entry?.attributes.map(\.name) ?? [])
        for attribute in try folder.attributes(ofName: name)
        where !kept.contains(attribute.name) && !attribute.name.isOverlayAttribute {
            do throws(SystemError) {
                try folder.removeAttribute(named: attribute.name, of: FilePath(bytes: name))
            } catch {
                // SELinux's label cannot be taken off by anybody.
                guard error.isRefusedAttribute || error.errno == .permissionDenied else { throw error }
            }
        }
    }

    private mutating func setAttributes(of entry: LayerEntry, at place: Place, permissions: Bool) throws(SystemError) {
        let name = FilePath(bytes: place.name)
        if !(convention != .flat && creation.makes(uid: entry.uid, gid: entry.gid, permissions: 0)) {
            guard place.name.withCName({ fchownat(place.raw, $0, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) }) == 0
            else {
                throw .last("fchownat", name)
            }
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
        if convention == .flat, let status = try status(at: place) {
            result.placed.append(UnpackedTree.PlacedFile(inode: status.inode, entry: number))
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
}
