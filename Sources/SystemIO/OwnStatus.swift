import CSpawn
import Glibc
import SystemPackage

/// What the kernel says of the calling thread in words: /proc/thread-self/status (proc(5)).
enum OwnStatus {
    /// The value of a line, as `0022` of `Umask:`; `nil` where there is no such line, or no /proc.
    static func value(of name: String) -> String? {
        guard let file = try? OwnedDescriptor.open("/proc/thread-self/status", O_RDONLY),
            let bytes = try? file.readAll(limit: 64 * 1024)
        else { return nil }
        let label = Array("\(name):".utf8)
        for line in bytes.split(separator: UInt8(ascii: "\n")) where line.starts(with: label) {
            return String(decoding: line.dropFirst(label.count).filter { $0 > 0x20 }, as: UTF8.self)
        }
        return nil
    }
}

/// What this process is to others.
package enum OwnProcess {
    /// Keeps everybody without CAP_SYS_PTRACE out of this process: its memory, environment, and what it has open. Nor is it written to a
    /// core file.
    package static func closeToOthers() {
        // It cannot fail with this argument (prctl(2)).
        _ = imgbuild_close_to_others()
    }
}

extension CapabilitySet {
    package static let setGroupID = CapabilitySet(numbers: [6])
    package static let setUserID = CapabilitySet(numbers: [7])
    /// CAP_SYS_ADMIN: mounts, namespaces, and much else.
    package static let systemAdministration = CapabilitySet(numbers: [21])

    /// What this thread may do now; nothing where that cannot be found out.
    package static var effective: CapabilitySet {
        CapabilitySet(rawValue: OwnStatus.value(of: "CapEff").flatMap { UInt64($0, radix: 16) } ?? 0)
    }
}
