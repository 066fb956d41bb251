import Glibc
import SystemIO
import SystemPackage

/// How git calls ssh: without questions, with time-outs, and only to hosts whose keys are known.
///
/// Keys are handed over as files in memory. Secrets are often mounted readable for a group, which ssh refuses to use, and a
/// copy on disk could outlive a build that is killed. They are gone with this object.
final class GitSSH: Sendable {
    /// The value of `GIT_SSH_COMMAND`, which git gives to a shell.
    let command: String
    private let key: OwnedDescriptor?
    private let knownHosts: OwnedDescriptor?

    /// A private key is some kilobytes; a `known_hosts` of an organisation may have thousands of lines (bytes).
    private static let limit = 4 << 20

    /// - Throws: `BuildError` for a file that cannot be read.
    init(_ settings: GitSettings, patience: GitPatience) throws {
        var words = [
            "ssh", "-o BatchMode=yes", "-o StrictHostKeyChecking=yes", "-o UpdateHostKeys=no",
            "-o ConnectTimeout=\(patience.connect.components.seconds)",
            "-o ServerAliveInterval=\(max(1, patience.stall.components.seconds / 4))", "-o ServerAliveCountMax=4",
        ]
        let key = try settings.sshKey.map { try GitSSH.memory($0, "the SSH key") }
        let knownHosts = try settings.sshKnownHosts.map { try GitSSH.memory($0, "the file of known hosts") }
        if let raw = GitSSH.raw(key) { words += ["-o IdentitiesOnly=yes", "-i /proc/\(getpid())/fd/\(raw)"] }
        if let raw = GitSSH.raw(knownHosts) { words.append("-o UserKnownHostsFile=/proc/\(getpid())/fd/\(raw)") }
        command = words.joined(separator: " ")
        self.key = key
        self.knownHosts = knownHosts
    }

    private static func raw(_ descriptor: borrowing OwnedDescriptor?) -> Int32? {
        switch descriptor {
        case .some(let descriptor): descriptor.raw
        case .none: nil
        }
    }

    /// A copy of a text file in memory, private to this user, with the line ends that ssh understands.
    private static func memory(_ path: FilePath, _ what: String) throws -> OwnedDescriptor {
        do {
            var bytes = try OwnedDescriptor.open(path, O_RDONLY).readAll(limit: limit)
            // What web forms and editors leave in a secret; ssh calls such a key invalid.
            bytes.removeAll { $0 == UInt8(ascii: "\r") }
            if bytes.last != UInt8(ascii: "\n") { bytes.append(UInt8(ascii: "\n")) }
            let raw = memfd_create("ssh", UInt32(MFD_CLOEXEC))
            guard raw >= 0 else { throw SystemError.last("memfd_create") }
            let file = OwnedDescriptor(taking: raw)
            guard fchmod(file.raw, 0o600) == 0 else { throw SystemError.last("fchmod") }
            try file.writeAll(bytes)
            return file
        } catch {
            throw BuildError("\(what) '\(path.printable)' cannot be read: \(error)")
        }
    }
}
