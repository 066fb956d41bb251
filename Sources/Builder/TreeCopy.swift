import Glibc
import Layers
import SystemIO
import SystemPackage

/// Copies a file or folder of a stage, an image or a context to a place of the builder's own, attributes included.
struct TreeCopy {
    let cancellation: Cancellation

    /// Copies what `mount` shows to `name` in `parent`, which must be free. After a failure a part may be there.
    ///
    /// Names of one file become files of their own. Blocks.
    func copy(_ mount: MountTree, to name: FilePath, in parent: Directory) throws {
        let hidden = Set(mount.hidden)
        let base = ImagePath(trusting: mount.node.path)
        var folders: [(path: ImagePath, status: FileStatus)] = []
        func folder(_ path: ImagePath) throws(SystemError) -> Directory {
            try parent.openDirectory(name.appending(FilePath(bytes: path.bytes).components), .noSymlinks)
        }
        try mount.view.walk(from: mount.node.path) { node throws(LayerError) in
            guard !cancellation.isCancelled else { throw .cancelled }
            if hidden.contains(node.path) { return .skipBelow }
            let path = ImagePath(trusting: Array(ImagePath(trusting: node.path).relative(to: base)))
            do throws(SystemError) {
                let place = path.isRoot ? parent : try folder(path.parent)
                let own = path.isRoot ? name : FilePath(bytes: path.name)
                var status = node.status
                if !mount.keepsOwners { (status.uid, status.gid) = (0, 0) }
                if node.status.kind == .directory {
                    try place.makeDirectory(own, mode: 0o700)
                    folders.append((path, status))
                }
                do throws(LayerError) { try copyContent(node, of: mount.view, as: own, in: place, status) } catch {
                    guard case .system(let error) = error else {
                        throw SystemError(call: "read", path: own, errno: .ioError)
                    }
                    throw error
                }
            } catch {
                throw .system(error)
            }
            return .goOn
        }
        // Inner ones first: making something in a folder changes its time.
        for (path, status) in folders.reversed() {
            try folder(path).descriptor.setOwnerModeAndTime(status, naming: name)
        }
    }

    private func copyContent(
        _ node: UnionTree.Node, of view: UnionTree, as name: FilePath, in place: Directory, _ status: FileStatus
    ) throws(LayerError) {
        let attributes = try view.attributes(node).filter { $0.name != "security.selinux" }
        switch node.status.kind {
        case .directory:
            try system { () throws(SystemError) in
                for attribute in attributes { try place.setAttribute(attribute, on: name) }
            }
        case .symlink:
            let target = try view.readLink(node)
            try system { () throws(SystemError) in
                try place.makeSymlink(name, to: FilePath(bytes: target))
                guard
                    name.withCString({
                        fchownat(place.descriptor.raw, $0, status.uid, status.gid, AT_SYMLINK_NOFOLLOW)
                    }) == 0
                else { throw .last("fchownat", name) }
            }
        case .file:
            let source = try view.open(node)
            do throws(SystemError) {
                let file = try place.open(name, O_CREAT | O_EXCL | O_WRONLY, mode: 0o600, .noSymlinks)
                try pour(source, into: file)
                for attribute in attributes { try file.setAttribute(attribute) }
                try file.setOwnerModeAndTime(status, naming: name)
                try file.close()
            } catch {
                throw .system(error)
            }
        case .fifo:
            try system { () throws(SystemError) in
                guard name.withCString({ mkfifoat(place.descriptor.raw, $0, mode_t(status.permissions)) }) == 0 else {
                    throw .last("mkfifoat", name)
                }
            }
        // Where device nodes are dead and sockets without a listener, they are not missed.
        default: break
        }
    }

    private func pour(_ source: borrowing OwnedDescriptor, into file: borrowing OwnedDescriptor) throws(SystemError) {
        // Bytes a call: large enough that calls do not count, small enough to hear of a cancellation.
        let chunk = 8 * 1024 * 1024
        while true {
            guard !cancellation.isCancelled else { throw SystemError(call: "copy_file_range", errno: .canceled) }
            let count = sendfile(file.raw, source.raw, nil, chunk)
            guard count >= 0 || errno == EINTR else { throw .last("sendfile") }
            if count == 0 { return }
        }
    }

    private func system(_ body: () throws(SystemError) -> Void) throws(LayerError) {
        do throws(SystemError) { try body() } catch { throw .system(error) }
    }
}
