package import SystemPackage

/// The files that a command sees as `/`. All paths are absolute, and folders of the builder's own.
package enum RootFileSystem: Sendable, Hashable {
    /// Stacked trees with a folder for what is written. Mounted inside the command's own mount namespace only: nothing is left mounted,
    /// however the builder ends.
    ///
    /// - `layers`: unpacked layers, topmost first; none for an image from scratch.
    /// - `upper`: takes what the command writes. When it is missing it is made, with mode, owner and time of the topmost layer's root.
    /// - `work`: overlayfs's own folder beside `upper`, on the same file system; emptied before each run.
    case overlay(layers: [FilePath], upper: FilePath, work: FilePath)
    /// One tree, written in place.
    case flat(FilePath)

    /// overlayfs takes no more lower folders than this (`OVL_MAX_STACK`), and one of them is the sandbox's own.
    package static let layerLimit = 499
}
