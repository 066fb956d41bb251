import SystemIO
package import SystemPackage

/// How strictly a command can be kept apart here, best first.
package enum Isolation: String, Sendable, Hashable, CaseIterable {
    /// Own mounts, processes, ipc and host name; the diff is what was written. Needs the right to mount.
    case overlay
    /// A root of its own only. Needs root with a container's default capabilities.
    case chroot
    /// No command can run; images of COPY, ADD and metadata can be built.
    case none

    /// What was found by trying.
    package struct Probe: Sendable, Hashable {
        package let isolation: Isolation
        /// Why the better ones were refused, as `overlay: clone: Operation not permitted`.
        package let refusals: [String]
    }

    /// Finds the best isolation by doing: a process makes everything that a RUN would get, around an empty image.
    ///
    /// - Parameters:
    ///   - folder: a folder to be made for this, on the file system where the trees will be; removed afterwards.
    ///   - usesUserAttributes: as the trees will need it.
    package static func probe(in folder: FilePath, usesUserAttributes: Bool = false) throws(SandboxError) -> Probe {
        var refusals: [String] = []
        for isolation in [Isolation.overlay, .chroot] {
            guard let refusal = try isolation.refusal(in: folder, usesUserAttributes: usesUserAttributes) else {
                return Probe(isolation: isolation, refusals: refusals)
            }
            refusals.append("\(isolation.rawValue): \(refusal)")
        }
        return Probe(isolation: .none, refusals: refusals)
    }

    /// Why this isolation cannot be had; `nil` if it can.
    package func refusal(in folder: FilePath, usesUserAttributes: Bool = false) throws(SandboxError) -> String? {
        let root: RootFileSystem
        switch self {
        case .overlay:
            root = .overlay(layers: [], upper: folder.appending("upper"), work: folder.appending("work"))
        case .chroot: root = .flat(folder.appending("tree"))
        case .none: return nil
        }
        // The image is empty: all went well if nothing but the program is missing.
        let result: SandboxError?
        do throws(SandboxError) {
            defer { _ = try? remove(folder) }
            if case .flat(let tree) = root { try make(tree) }
            _ = try Sandbox(hostFiles: HostFiles(resolver: []), usesUserAttributes: usesUserAttributes).run(
                Command(["/probe"], environment: []), in: root, scratch: folder.appending("scratch"),
                cancellation: Cancellation())
            result = nil
        } catch {
            result = error
        }
        guard let result else { return nil }
        if case .spawn(let error) = result, error.isOfProgram { return nil }
        return result.description
    }

    private func make(_ path: FilePath) throws(SandboxError) {
        do throws(SystemError) { _ = try Directory(creating: path) } catch { throw .files(error) }
    }

    private func remove(_ path: FilePath) throws(SystemError) {
        guard let name = path.lastComponent else { return }
        try Directory(opening: path.removingLastComponent()).removeTree(FilePath(root: nil, [name]))
    }
}
