import CSpawn
package import Glibc
import SystemPackage

extension Array<UInt8> {
    /// Calls `body` with the bytes and a closing NUL, as the kernel takes names. Bytes from the first NUL on are not seen.
    package func withCName<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
        withUnsafeTemporaryAllocation(byteCount: count + 1, alignment: 1) { buffer in
            withUnsafeBytes { buffer.copyMemory(from: $0) }
            buffer[count] = 0
            let name = buffer.bindMemory(to: CChar.self)
            // A buffer of at least one byte has an address.
            return name.baseAddress.map { body(UnsafePointer($0)) } ?? "".withCString(body)
        }
    }
}

/// The calls of `Directory` for names as bytes, as archives and layers hold them, without a `FilePath` for each.
extension Directory {
    /// One name of a listing.
    package struct Name: Sendable {
        package let bytes: [UInt8]
        /// What the listing says of the type, where the file system says anything.
        package let kind: FileStatus.Kind?
    }

    /// As `open(_:_:mode:_:)`; the empty path is the folder itself.
    package func open(
        bytes path: [UInt8], _ flags: Int32, mode: UInt32 = 0, _ resolution: Resolution
    ) throws(SystemError) -> OwnedDescriptor {
        try open(path.isEmpty ? "." : FilePath(bytes: path), flags, mode: mode, resolution)
    }

    /// Opens one name in this folder; a symlink is never followed.
    package func openName(_ name: [UInt8], _ flags: Int32, mode: UInt32 = 0) throws(SystemError) -> OwnedDescriptor {
        while true {
            let opened = name.withCName { openat(descriptor.raw, $0, flags | O_NOFOLLOW | O_CLOEXEC, mode) }
            if opened >= 0 { return OwnedDescriptor(taking: opened) }
            guard errno == EINTR else { throw .last("openat", FilePath(bytes: name)) }
        }
    }

    /// The status of one name in this folder, `nil` where nothing has it.
    package func statusIfPresent(ofName name: [UInt8]) throws(SystemError) -> FileStatus? {
        var status = stat()
        let result = name.withCName { fstatat(descriptor.raw, $0, &status, AT_SYMLINK_NOFOLLOW) }
        guard result == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw .last("fstatat", FilePath(bytes: name))
        }
        return FileStatus(status)
    }

    /// The target of a symlink of this folder.
    package func readLink(name: [UInt8]) throws(SystemError) -> [UInt8] {
        // PATH_MAX: no file system stores a longer target.
        var target = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = name.withCName { readlinkat(descriptor.raw, $0, &target, target.count) }
        guard length >= 0 else { throw .last("readlinkat", FilePath(bytes: name)) }
        return target[..<length].map { UInt8(bitPattern: $0) }
    }

    /// All names in this folder but `.` and `..`, sorted bytewise.
    package func sortedNames() throws(SystemError) -> [Name] {
        let copy = try open(".", O_RDONLY | O_DIRECTORY, .noSymlinks)
        guard let stream = fdopendir(copy.raw) else { throw .last("fdopendir", path) }
        _ = copy.release()  // closedir closes it
        defer { closedir(stream) }
        var names: [Name] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw .last("readdir", path) }
                return names.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
            }
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                [UInt8](raw[..<strnlen(raw.baseAddress ?? UnsafeRawPointer(entry), raw.count)])
            }
            if bytes == [0x2e] || bytes == [0x2e, 0x2e] { continue }
            names.append(Name(bytes: bytes, kind: Directory.kind(of: entry.pointee.d_type)))
        }
    }

    private static func kind(of type: UInt8) -> FileStatus.Kind? {
        switch Int(type) {
        case DT_REG: .file
        case DT_DIR: .directory
        case DT_LNK: .symlink
        case DT_CHR: .characterDevice
        case DT_BLK: .blockDevice
        case DT_FIFO: .fifo
        case DT_SOCK: .socket
        default: nil
        }
    }

    /// As `attributes(of:)`; the empty name is the folder itself.
    package func attributes(ofName name: [UInt8]) throws(SystemError) -> [ExtendedAttribute] {
        // Most files have none, and most trees have many files.
        if name.isEmpty, imgbuild_flistxattr(descriptor.raw, nil, 0) == 0 { return [] }
        let path = Array("/proc/self/fd/\(descriptor.raw)/".utf8) + (name.isEmpty ? [UInt8(ascii: ".")] : name)
        if path.withCName({ imgbuild_llistxattr($0, nil, 0) }) == 0 { return [] }
        return try attributes(of: name.isEmpty ? "." : FilePath(bytes: name))
    }

    /// As `setAttribute(_:on:)`; the empty name is the folder itself.
    package func setAttribute(_ attribute: ExtendedAttribute, onName name: [UInt8]) throws(SystemError) {
        try setAttribute(attribute, on: name.isEmpty ? "." : FilePath(bytes: name))
    }
}

extension OwnedDescriptor {
    /// Sets an extended attribute of the open file.
    package func setAttribute(_ attribute: ExtendedAttribute) throws(SystemError) {
        let value = attribute.value
        guard imgbuild_fsetxattr(raw, attribute.name, value, value.count) == 0 else { throw .last("fsetxattr") }
    }

    /// Writes all of `buffer` at `offset`, or throws after an unknown part of it.
    package func writeAll(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(SystemError) {
        var rest = buffer
        var position = offset
        while !rest.isEmpty {
            let count = pwrite(raw, rest.baseAddress, rest.count, off_t(position))
            if count < 0 {
                guard errno == EINTR else { throw .last("pwrite") }
                continue
            }
            position += Int64(count)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }
}

extension DeviceNumber {
    /// As `mknodat` and `st_rdev` hold it.
    package var combined: UInt64 { imgbuild_makedev(major, minor) }
}

extension Timestamp {
    /// For `utimensat` and `futimens`: sets this as the time of modification and leaves the time of access.
    package var asModificationTime: [Glibc.timespec] {
        // UTIME_OMIT of <bits/stat.h>, a macro that Swift does not import.
        [Glibc.timespec(tv_sec: 0, tv_nsec: (1 << 30) - 2), timespec]
    }
}
