import Glibc
package import SystemIO
import SystemPackage

/// The files by which a command finds names on the network; lent for the run, never part of a layer.
package struct HostFiles: Sendable {
    /// Contents of `/etc/resolv.conf`.
    package var resolver: [UInt8]
    /// Contents of `/etc/hosts`.
    package var hosts: [UInt8]

    package init(resolver: [UInt8], hosts: [UInt8] = HostFiles.plainHosts) {
        self.resolver = resolver
        self.hosts = hosts
    }

    package static let plainHosts = Array(
        """
        127.0.0.1 localhost \(SandboxPlan.hostName)
        ::1 localhost ip6-localhost ip6-loopback

        """.utf8)

    /// The builder's own name servers; none where it has no `/etc/resolv.conf`.
    package static func ofBuilder() throws(SystemError) -> HostFiles {
        do throws(SystemError) {
            let file = try OwnedDescriptor.open("/etc/resolv.conf", O_RDONLY)
            // Bytes: glibc reads three servers and six domains of it.
            return HostFiles(resolver: try file.readAll(limit: 1024 * 1024))
        } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            return HostFiles(resolver: [])
        }
    }

    func content(of name: FilePath) -> [UInt8] {
        switch name.lastComponent?.string {
        case "resolv.conf": resolver
        case "hosts": hosts
        default: Array((SandboxPlan.hostName + "\n").utf8)
        }
    }

    func write(into folder: Directory) throws(SystemError) {
        for path in SandboxPlan.placedFiles {
            let name = FilePath(root: nil, path.components.suffix(1))
            let file = try folder.open(name, O_CREAT | O_TRUNC | O_WRONLY, mode: 0o644, .noSymlinks)
            // Whatever our umask is: every user of the image reads them.
            guard fchmod(file.raw, 0o644) == 0 else { throw .last("fchmod", name) }
            try file.writeAll(content(of: path))
            try file.close()
        }
    }
}
