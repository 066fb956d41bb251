import Layers
import SystemIO

extension CopyOperation {
    /// Plans what is in an archive, below the destination, which is a folder then.
    ///
    /// Owners, modes, times, links and attributes are the archive's; `--chown` overrides the owner, `--chmod` means nothing here.
    /// - Throws: `LayerError` for a damaged archive; `BuildError` for a hard link to what is not in it.
    mutating func unpack(_ archive: consuming OwnedDescriptor, name: String, into spool: ArchiveSpool) throws {
        let base = try directoryDestination()
        sourceNumber += 1
        var reader = try TarReader(archive: archive, name: name)
        var end: Int64 = 0
        var files: UInt64 = 0
        while let entry = try reader.next() {
            // The archive's own root says nothing about the destination.
            guard !entry.path.isEmpty else { continue }
            var placed = entry
            let target = try archiveTarget(entry.path, below: base)
            placed.path = target.bytes
            if let owner = options.owner { (placed.uid, placed.gid) = owner }
            placed.attributes = entry.attributes.filter { $0.name != "security.selinux" }
            var content = LayerPlan.Content.none
            var link: LayerPlan.LinkKey?
            switch entry.kind {
            case .file(let size):
                try spool.store(&reader, size: size, at: end)
                content = .stretch(spool, offset: end)
                end += size
                files += 1
                link = LayerPlan.LinkKey(source: sourceNumber, device: 0, inode: files)
            case .hardLink(let path):
                guard let first = plan.planned[try archiveTarget(path, below: base)], case .file = first.entry.kind else {
                    throw BuildError("\(name): '\(ImagePath(trusting: entry.path).absolute)' is a hard link to '\(ImagePath(trusting: path).absolute)', which is not in the archive before it")
                }
                (placed, content, link) = (first.entry, first.content, first.link)
                placed.path = target.bytes
            default: break
            }
            try plan.replace(placed, content: content, link: link)
        }
    }

    /// Where an entry goes: links on the way are followed inside the image, one at its own place is replaced.
    private func archiveTarget(_ path: [UInt8], below base: ImagePath) throws -> ImagePath {
        try plan.resolve(base.appending(path), followLast: false)
    }
}

