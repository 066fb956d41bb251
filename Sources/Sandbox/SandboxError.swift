package import SystemIO
package import SystemPackage

/// Why a command could not be run at all. A command that ran and failed is no error: see `RunOutcome`.
package enum SandboxError: Error, Sendable, Hashable {
    /// A step on the way to the command, or the command's program itself.
    case spawn(SpawnError)
    /// Making the run's folders and files ready, or clearing them away.
    case files(SystemError)
    case workingDirectory(FilePath, Errno)
    /// The supervisor of `/proc` gave up while the command ran, whose files of `/proc` were gone from then on.
    case supervisor(SystemError)
    case tooManyLayers(Int)
    /// The chroot isolation cannot do this.
    case needsOverlay(String)
}

extension SandboxError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .spawn(let error): error.description
        case .files(let error): error.description
        case .workingDirectory(let path, .noSuchFileOrDirectory):
            "the working directory '\(path.printable)' does not exist"
        case .workingDirectory(let path, let errno): "the working directory '\(path.printable)': \(errno)"
        case .supervisor(let error): "its /proc could not be kept up: \(error)"
        case .tooManyLayers(let count):
            "\(count) layers cannot be stacked (overlayfs takes at most \(RootFileSystem.layerLimit))"
        case .needsOverlay(let what): "\(what) is not possible with chroot isolation"
        }
    }

    /// What a person can do about it, where that is known.
    package var hint: String? {
        guard case .spawn(let error) = self else { return nil }
        return switch (error.stage, error.errno) {
        case (.clone, .notPermitted): "namespaces need CAP_SYS_ADMIN; without it use --isolation chroot"
        case (.step(.mount("overlay", _, _, _, _)), .invalidArgument):
            "the state folder must be on a file system that overlayfs can write to (ext4, xfs, tmpfs; not overlay itself, not NFS)"
        case (.step(.mount), .notPermitted), (.step(.mount), .permissionDenied):
            "mounting is not allowed here; use --isolation chroot"
        default: nil
        }
    }
}
