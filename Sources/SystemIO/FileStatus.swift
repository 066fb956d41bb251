package import CSpawn
package import Glibc

/// What `stat` says of one file.
package struct FileStatus: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case file, directory, symlink, characterDevice, blockDevice, fifo, socket
    }

    package let kind: Kind
    /// Permission bits with setuid, setgid and sticky: the low 12 bits of `st_mode`.
    package var permissions: UInt16
    package var uid: UInt32
    package var gid: UInt32
    /// Bytes.
    package var size: Int64
    package var modified: Timestamp
    package let changed: Timestamp
    package let inode: UInt64
    package let device: UInt64
    package let linkCount: UInt64
    /// The device that a device node stands for.
    package let node: DeviceNumber

    /// What a file would look like that is only described: in a layer that is not unpacked.
    package init(
        described kind: Kind, permissions: UInt16, uid: UInt32, gid: UInt32, size: Int64, modified: Timestamp,
        inode: UInt64, device: UInt64, linkCount: UInt64, node: DeviceNumber
    ) {
        self.kind = kind
        self.permissions = permissions
        self.uid = uid
        self.gid = gid
        self.size = size
        self.modified = modified
        changed = modified
        self.inode = inode
        self.device = device
        self.linkCount = linkCount
        self.node = node
    }

    package init(_ status: stat) {
        kind =
            switch status.st_mode & S_IFMT {
            case S_IFDIR: .directory
            case S_IFLNK: .symlink
            case S_IFCHR: .characterDevice
            case S_IFBLK: .blockDevice
            case S_IFIFO: .fifo
            case S_IFSOCK: .socket
            default: .file
            }
        permissions = UInt16(status.st_mode & 0o7777)
        uid = status.st_uid
        gid = status.st_gid
        size = Int64(status.st_size)
        modified = Timestamp(status.st_mtim)
        changed = Timestamp(status.st_ctim)
        inode = UInt64(status.st_ino)
        device = UInt64(status.st_dev)
        linkCount = UInt64(status.st_nlink)
        node = DeviceNumber(
            major: imgbuild_major(UInt64(status.st_rdev)), minor: imgbuild_minor(UInt64(status.st_rdev)))
    }

    /// Whether overlayfs means by this node that the name is deleted: a 0:0 character device.
    package var isOverlayWhiteout: Bool {
        kind == .characterDevice && node == DeviceNumber(major: 0, minor: 0)
    }
}

/// The number of a device node.
package struct DeviceNumber: Sendable, Hashable {
    package var major: UInt32
    package var minor: UInt32

    package init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }
}

/// An instant as files carry it, ordered by time.
package struct Timestamp: Sendable, Hashable, Comparable {
    /// Seconds since 1970; negative before.
    package var seconds: Int64
    /// 0 to 999,999,999.
    package var nanoseconds: Int32

    package init(seconds: Int64, nanoseconds: Int32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    package init(_ time: timespec) {
        self.init(seconds: Int64(time.tv_sec), nanoseconds: Int32(time.tv_nsec))
    }

    package var timespec: Glibc.timespec {
        Glibc.timespec(tv_sec: time_t(seconds), tv_nsec: Int(nanoseconds))
    }

    package static var now: Timestamp {
        var time = Glibc.timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(time)
    }

    package static func < (a: Timestamp, b: Timestamp) -> Bool {
        (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
    }

    /// RFC 3339 in UTC, whole seconds, as image documents write it: `2026-11-22T19:20:00Z`.
    package var rfc3339: String {
        var time = time_t(seconds)
        var parts = tm()
        gmtime_r(&time, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let year = String(parts.tm_year + 1900)
        return String(repeating: "0", count: max(0, 4 - year.count)) + year
            + "-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}
