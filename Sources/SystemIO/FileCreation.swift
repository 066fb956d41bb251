import Glibc

/// What a file is that a thread makes: whose it is, and which permissions its umask lets through.
package struct FileCreation: Sendable {
    private let uid: UInt32
    private let gid: UInt32
    private let umask: UInt16

    /// As it is for the calling thread now. The umask is read, for it cannot be asked for without being changed; where it
    /// cannot be read, it is taken to let nothing through.
    package static var current: FileCreation {
        FileCreation(uid: geteuid(), gid: getegid(), umask: readMask() ?? 0o777)
    }

    /// Whether a new file with these permissions, asked for when it is made, has them and this owner. Setuid, setgid and
    /// sticky are not relied on.
    package func makes(uid: UInt32, gid: UInt32, permissions: UInt16) -> Bool {
        uid == self.uid && gid == self.gid && permissions & (umask | 0o7000) == 0
    }

    /// Linux tells the umask since 4.7.
    private static func readMask() -> UInt16? {
        OwnStatus.value(of: "Umask").flatMap { UInt16($0, radix: 8) }
    }
}
