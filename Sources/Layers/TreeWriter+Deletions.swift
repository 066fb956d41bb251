import Glibc
import SystemIO
import SystemPackage

// Whiteouts and opaque markers: kept for overlayfs, or carried out at once in a flat tree.
extension TreeWriter {
    mutating func whiteOut(_ path: [UInt8]) throws(SystemError) {
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

    mutating func makeOpaque(_ path: [UInt8]) throws(SystemError) {
        let folder = try folder(path)
        switch convention {
        case .flat:
            let copy = try folder.directory.open(".", O_RDONLY | O_DIRECTORY, .noSymlinks)
            try purge(Directory(taking: copy, path: FilePath()), folder.path)
        case .overlay where path.isEmpty: break
        case .overlay: try markOpaque(folder.directory, [])
        }
        if path.isEmpty { result.isRootOpaque = true }
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
                guard !stack.isEmpty, !placed.contains(level.path) else { continue }
                // ENOTEMPTY: something of this layer is in it.
                guard
                    level.name.withCName({ unlinkat(descent.current.descriptor.raw, $0, AT_REMOVEDIR) }) == 0
                        || errno == ENOTEMPTY
                else { throw .last("unlinkat", FilePath(bytes: level.name)) }
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
}
