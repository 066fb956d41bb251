import Glibc
import SystemPackage

/// Which ids of the outside the ids of this user namespace are.
package struct IdentityMapping: Sendable, Hashable {
    /// The kernel's own words: /proc/self/uid_map and gid_map (user_namespaces(7)).
    private let text: [UInt8]

    package static func current() throws(SystemError) -> IdentityMapping {
        var text: [UInt8] = []
        for path in ["/proc/self/uid_map", "/proc/self/gid_map"] as [FilePath] {
            // 340 lines at most (UID_GID_MAP_MAX_EXTENTS of <linux/user_namespace.h>).
            text += try OwnedDescriptor.open(path, O_RDONLY).readAll(limit: 64 * 1024)
            text.append(0)
        }
        return IdentityMapping(text: text)
    }

    /// A short name for it, to be part of a file name.
    package var key: String {
        let digits = Array("0123456789abcdef")
        return String(SHA256.hash(text).prefix(8).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
