import Glibc
import SystemIO
import SystemPackage

extension LayerError {
    /// Why an entry could not be placed. Failures that the layer brought about are its fault; the rest is ours to tell.
    init(placing entry: LayerEntry, of layer: String, _ error: SystemError) {
        func fault(_ reason: String) -> LayerError {
            .invalid(layer: layer, entry: FilePath.printable(entry.path), reason: reason)
        }
        self =
            switch (error.errno, entry.kind) {
            case (.noSuchFileOrDirectory, .hardLink(let target)):
                fault("a hard link to '\(FilePath.printable(target))', which is no file of this layer or one below")
            case (.notDirectory, _): fault("it lies below a file that is not a folder")
            case (.tooManySymbolicLinkLevels, _): fault("its name leads through too many symlinks")
            case (.invalidArgument, .characterDevice) where error.call == "mknodat":
                fault("a 0:0 character device cannot be told from overlayfs's whiteouts")
            case (.invalidArgument, _) where error.call.contains("chown"):
                fault(
                    "its owner \(entry.uid):\(entry.gid) is not among the ids that are mapped in this user namespace")
            case (.fileNameTooLong, _), (.isDirectory, _), (.fileExists, _), (.tooManyLinks, _),
                (Errno(rawValue: EXDEV), _), (.noSuchFileOrDirectory, _), (.argListTooLong, _), (.outOfRange, _),
                (.fileTooLarge, _):
                fault("it cannot be placed (\(error))")
            default: .system(error)
            }
    }
}

extension SystemError {
    /// Attributes that this file system or our rights do not allow are told, not fatal: SELinux labels, `trusted.*` and
    /// `user.*` on a symlink are worth no failed build. Other failures are.
    var isRefusedAttribute: Bool { errno == .notSupported || errno == .notPermitted }
}
