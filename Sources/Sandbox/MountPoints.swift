import SystemIO
import SystemPackage

/// Names that were made in an upper folder only to mount on them.
enum MountPoints {
    /// Removes those that are still empty, innermost first.
    ///
    /// - Parameter created: paths from the root, outermost first.
    /// - Returns: those that stay, as they are in use now.
    static func remove(_ created: [FilePath], from upper: Directory) throws(SystemError) -> [FilePath] {
        var kept: [FilePath] = []
        for path in created.reversed() {
            guard let name = path.lastComponent else { continue }
            let relative = FilePath(root: nil, path.components.dropLast())
            let parent: Directory
            do throws(SystemError) {
                parent = try upper.openDirectory(relative.isEmpty ? "." : relative, .noSymlinks)
            } catch {
                // The command has removed or replaced the folder, and what was in it.
                continue
            }
            let file = FilePath(root: nil, [name])
            guard let status = try parent.statusIfPresent(of: file) else { continue }
            switch status.kind {
            case .directory:
                do throws(SystemError) {
                    try parent.remove(file, directory: true)
                } catch {
                    guard error.errno == .directoryNotEmpty else { throw error }
                    kept.append(path)
                }
            case .file where status.size == 0: try parent.remove(file)
            default: kept.append(path)
            }
        }
        return kept.reversed()
    }
}
