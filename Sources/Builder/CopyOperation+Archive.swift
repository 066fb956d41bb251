import Layers
import SystemIO

extension CopyOperation {
    /// Hard links that an archive holds before what they link to, by that path.
    private typealias Waiting = [ImagePath: [(entry: [UInt8], target: [UInt8])]]

    /// Plans what is in an archive, below the destination, which is a folder then.
    ///
    /// Owners, modes, times, links and attributes are the archive's; `--chown` overrides the owner, `--chmod` means nothing here.
    /// - Throws: `LayerError` for a damaged archive; `BuildError` for a hard link to what is not in it.
    mutating func unpack(_ archive: consuming OwnedDescriptor, name: String, into spool: ArchiveSpool) throws {
        let base = try directoryDestination()
        var reader = try TarReader(archive: archive, name: name)
        var waiting: Waiting = [:]
        // Folders that the archive only implies are not copied files that --chmod could mean.
        let implied = plan.implied
        plan.implied.permissions = 0o755
        defer { plan.implied = implied }
        while let entry = try reader.next() {
            // The archive's own root says nothing about the destination.
            guard !entry.path.isEmpty else { continue }
            var placed = entry
            placed.path = try archiveTarget(entry.path, below: base).bytes
            if let owner = options.owner { (placed.uid, placed.gid) = owner }
            placed.attributes = entry.attributes.filter { $0.name != "security.selinux" }
            switch entry.kind {
            case .file(let size):
                let offset = try spool.store(&reader, size: size)
                unpackedFiles += 1
                try plan.replace(
                    placed, content: .stretch(spool, offset: offset),
                    link: LayerPlan.LinkKey(source: sourceNumber, device: 0, inode: unpackedFiles))
            case .hardLink(let path):
                let target = try archiveTarget(path, below: base)
                if try !link(placed.path, to: target) {
                    waiting[target, default: []].append((entry.path, path))
                }
            default: try plan.replace(placed, content: .none, link: nil)
            }
        }
        try placeLinks(&waiting, below: base, name: name)
    }

    /// Plans the links whose files came after them.
    private mutating func placeLinks(_ waiting: inout Waiting, below base: ImagePath, name: String) throws {
        // What was linked may be what others wait for.
        var ready = waiting.keys.filter { plan.planned[$0] != nil }.sorted {
            $0.bytes.lexicographicallyPrecedes($1.bytes)
        }
        while let target = ready.popLast() {
            for item in waiting.removeValue(forKey: target) ?? [] {
                let path = try archiveTarget(item.entry, below: base)
                if try link(path.bytes, to: target), waiting[path] != nil { ready.append(path) }
            }
        }
        let left = waiting.values.joined().min { $0.entry.lexicographicallyPrecedes($1.entry) }
        if let left {
            let (entry, target) = (ImagePath(trusting: left.entry).absolute, ImagePath(trusting: left.target).absolute)
            throw BuildError("\(name): '\(entry)' is a hard link to '\(target)', which is not in the archive")
        }
    }

    /// Plans another name of a planned file, symlink or node.
    ///
    /// - Returns: whether there is one that can be linked to.
    private mutating func link(_ path: [UInt8], to target: ImagePath) throws -> Bool {
        guard var first = plan.planned[target], first.entry.kind != .directory else { return false }
        // A link to itself changes nothing.
        guard first.entry.path != path else { return true }
        first.entry.path = path
        try plan.replace(first.entry, content: first.content, link: first.link)
        return true
    }

    /// Where an entry goes: links on the way are followed inside the image, one at its own place is replaced.
    private func archiveTarget(_ path: [UInt8], below base: ImagePath) throws -> ImagePath {
        try plan.resolve(base.appending(path), followLast: false)
    }
}
