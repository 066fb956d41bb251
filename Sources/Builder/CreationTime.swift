import Dockerfile
import SystemIO
import SystemPackage

/// The one instant of an image: its `created`, and the latest time that a file of a new layer may carry.
struct CreationTime: Sendable {
    let created: Timestamp
    /// `nil` keeps real times.
    let latest: Timestamp?

    static func now() -> CreationTime {
        CreationTime(created: .now, latest: nil)
    }

    init(at instant: Timestamp) {
        created = instant
        latest = instant
    }

    private init(created: Timestamp, latest: Timestamp?) {
        self.created = created
        self.latest = latest
    }

    /// The newest modification of anything in a folder that is no Git work tree.
    ///
    /// Symlinks are not followed; folders count by what is in them, since their own time changes with every scratch file.
    static func newest(in folder: Directory, ignoring ignored: IgnorePatterns) throws(SystemError) -> Timestamp {
        var newest = Timestamp(seconds: 0)
        // Paths, not open folders: a wide tree has more folders than a process has descriptors.
        var pending = [ImagePath.root]
        while let path = pending.popLast() {
            let bytes = path.isRoot ? [UInt8(ascii: ".")] : path.bytes
            // What cannot be read cannot be copied either; COPY says so if it is asked for it.
            guard let open = try? folder.openDirectory(FilePath(bytes: bytes), .noSymlinks) else { continue }
            for name in try open.sortedNames() {
                guard let status = try open.statusIfPresent(ofName: name.bytes) else { continue }
                let isDirectory = status.kind == .directory
                // A path is only made where it is looked at.
                guard isDirectory || !ignored.isEmpty else {
                    newest = max(newest, status.modified)
                    continue
                }
                let below = path.appending(name.bytes)
                let isIgnored = ignored.isIgnored(below.bytes)
                if isDirectory {
                    if !isIgnored || ignored.mayContainIncluded(below.bytes) { pending.append(below) }
                } else if !isIgnored {
                    newest = max(newest, status.modified)
                }
            }
        }
        return Timestamp(seconds: newest.seconds)
    }
}
