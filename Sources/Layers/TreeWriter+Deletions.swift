import Glibc
import SystemIO
import SystemPackage

// Whiteouts and opaque markers: kept for overlayfs, or carried out at once in a flat tree.
extension TreeWriter {
    mutating func whiteOut(_ path: [UInt8]) throws(SystemError) {
        let place = try place(of: path)
        let status = try status(at: place)
        if lower != nil { folders.forget() }
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
                try removeUnlessKept(place.path, named: place.name, of: place.folder.directory)
            } else if !placed.contains(place.path) {
                try place.folder.directory.remove(FilePath(bytes: place.name))
                folders.forget()
            }
        }
    }

    mutating func makeOpaque(_ path: [UInt8]) throws(SystemError) {
        let folder = try folder(path)
        if lower != nil { folders.forget() }
        switch convention {
        case .flat:
            let copy = try folder.directory.open(".", O_RDONLY | O_DIRECTORY, .noSymlinks)
            try purge(Directory(taking: copy, path: FilePath()), folder.path)
            try makeNew(folder.path, named: TreeWriter.itself, of: folder.directory)
        case .overlay where folder.path.isEmpty: folders.hideAll()
        case .overlay: try markOpaque(folder.directory, [])
        }
        if folder.path.isEmpty { result.isRootOpaque = true }
    }

    func markOpaque(_ folder: Directory, _ name: [UInt8]) throws(SystemError) {
        guard case .overlay(let namespace) = convention else { return }
        try folder.setAttribute(
            ExtendedAttribute(name: namespace.opaque, value: [UInt8(ascii: "y")]), onName: name)
    }

    /// Removes from a flat tree all below a folder that is not of this layer; other file systems are not entered.
    private mutating func purge(_ top: Directory, _ path: [UInt8]) throws(SystemError) {
        // A stack instead of recursion: depth is the input's choice.
        var descent = FolderDescent(from: top)
        var stack: [(path: [UInt8], name: [UInt8], rest: [Directory.Name])] = []
        stack.append((path, [], try top.sortedNames().reversed()))
        let device = try top.descriptor.status().device
        folders.forget()
        while let last = stack.indices.last {
            guard let next = stack[last].rest.popLast() else {
                let level = stack.removeLast()
                try descent.leave()
                if !stack.isEmpty { try removeUnlessKept(level.path, named: level.name, of: descent.current) }
                continue
            }
            guard let status = try descent.current.statusIfPresent(ofName: next.bytes), status.device == device else {
                continue
            }
            let path = stack[last].path.joined(next.bytes)
            if status.kind == .directory {
                try descent.enter(named: next.bytes)
                stack.append((path, next.bytes, try descent.current.sortedNames().reversed()))
            } else if !placed.contains(path) {
                try descent.current.remove(FilePath(bytes: next.bytes))
            }
        }
    }

    /// Removes a folder that is deleted and was emptied, unless the layer has it.
    private mutating func removeUnlessKept(
        _ path: [UInt8], named name: [UInt8], of parent: Directory
    ) throws(SystemError) {
        if !isOfLayer(path) {
            if name.withCName({ unlinkat(parent.descriptor.raw, $0, AT_REMOVEDIR) }) == 0 { return folders.forget() }
            // ENOTEMPTY: something of this layer is in it.
            guard errno == ENOTEMPTY else { throw .last("unlinkat", FilePath(bytes: name)) }
        }
        try makeNew(path, named: name, of: parent)
    }

    /// Makes a folder of lower layers that is deleted, and stays for what this layer has in it, one that no entry describes.
    private mutating func makeNew(_ path: [UInt8], named name: [UInt8], of parent: Directory) throws(SystemError) {
        guard deferred[path] == nil, let status = try parent.statusIfPresent(ofName: name) else { return }
        let owner = impliedOwner
        guard name.withCName({ fchownat(parent.descriptor.raw, $0, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) }) == 0
        else { throw .last("fchownat", FilePath(bytes: name)) }
        try dropAttributes(of: nil, at: name, in: parent)
        deferred[path] = FolderAttributes(
            inode: status.inode, permissions: 0o755, modified: Timestamp(seconds: 0), isImplied: true)
    }
}
