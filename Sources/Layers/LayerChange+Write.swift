import Glibc
package import SystemIO
import SystemPackage

extension LayerWriter {
    /// Adds the changes of a tree, with the content that its files have now.
    ///
    /// - Parameter root: the folder that the changes were read from; nothing writes to it meanwhile.
    package mutating func add(_ changes: [LayerChange], from root: Directory) throws(LayerError) {
        for change in changes {
            if case .file = change.entry.kind {
                try add(change.entry, content: try change.open(in: root))
            } else {
                try add(change.entry)
            }
        }
    }
}

extension LayerChange {
    /// Sets the times of changed files that are later than `latest` back to it, as the layer has them: a later step sees the
    /// same tree, whether it was left by the RUN or unpacked from the layer.
    package static func clampTimes(
        _ changes: [LayerChange], in root: Directory, to latest: Timestamp
    ) throws(LayerError) {
        // Backwards: setting a file's time does not touch its folder's, but folders are done after what is in them all the same.
        for change in changes.reversed() where change.entry.modified > latest {
            switch change.entry.kind {
            case .whiteout, .opaqueMarker, .hardLink: continue
            default: break
            }
            let path = FilePath(bytes: change.entry.path)
            // UTIME_OMIT of <linux/stat.h>: the time of access stays.
            var times = [timespec(tv_sec: 0, tv_nsec: (1 << 30) - 2), latest.timespec]
            let parent: Directory
            do throws(SystemError) {
                // Folders were opened without following links when the changes were read; the same holds here.
                parent =
                    path.removingLastComponent().isEmpty
                    ? root : try root.openDirectory(path.removingLastComponent(), .noSymlinks)
            } catch { throw .system(error) }
            let name = path.lastComponent.map { FilePath(root: nil, [$0]) } ?? "."
            let result = name.withCString { utimensat(parent.descriptor.raw, $0, &times, AT_SYMLINK_NOFOLLOW) }
            guard result == 0 else { throw .system(.last("utimensat", path)) }
        }
    }
}
