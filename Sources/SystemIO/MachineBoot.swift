import Glibc
import SystemPackage

/// The run of this machine since it was last started.
package enum MachineBoot {
    /// A name that no other run of any machine has (random(4), `boot_id`); empty where there is no /proc.
    package static let identifier: String = {
        guard let file = try? OwnedDescriptor.open("/proc/sys/kernel/random/boot_id", O_RDONLY),
            let bytes = try? file.readAll(limit: 4096)
        else { return "" }
        return String(decoding: bytes.prefix { $0 > 0x20 }, as: UTF8.self)
    }()
}
