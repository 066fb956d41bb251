import CSpawn
import Glibc
import SystemPackage

/// Names of files, end to end in one piece of memory, as the kernel takes them.
package struct NameTable: Sendable {
    /// Where a name stands.
    package struct Place: Sendable {
        fileprivate let start: Int32
        fileprivate let count: Int32
    }

    /// Each name has a closing NUL.
    private var bytes: [UInt8] = []

    package init() {}

    package subscript(_ place: Place) -> ArraySlice<UInt8> {
        bytes[Int(place.start)..<Int(place.start + place.count)]
    }

    package mutating func append(_ name: ArraySlice<UInt8>) -> Place { append(bytes: name) }

    fileprivate mutating func append(bytes name: some Collection<UInt8>) -> Place {
        let place = Place(start: Int32(bytes.count), count: Int32(name.count))
        bytes.append(contentsOf: name)
        bytes.append(0)
        return place
    }

    fileprivate mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
    }

    /// Whether a name comes before another, bytewise.
    fileprivate func precedes(_ a: Place, _ b: Place) -> Bool {
        bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return false }
            // The NUL makes a name that begins another one come first.
            return strcmp(base + Int(a.start), base + Int(b.start)) < 0
        }
    }

    /// The status of that name in a folder, `nil` where nothing has it; a symlink is not followed.
    package func status(of place: Place, in folder: Directory) throws(SystemError) -> FileStatus? {
        var status = stat()
        let failure = bytes.withUnsafeBytes { bytes -> Int32 in
            guard let name = bytes.baseAddress?.advanced(by: Int(place.start)) else { return ENOENT }
            let path = name.assumingMemoryBound(to: CChar.self)
            return fstatat(folder.descriptor.raw, path, &status, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno
        }
        guard failure == 0 else {
            if failure == ENOENT { return nil }
            throw SystemError(
                call: "fstatat", path: FilePath(bytes: Array(self[place])), errno: Errno(rawValue: failure))
        }
        return FileStatus(status)
    }
}

/// What is in a folder, sorted bytewise by name, in memory that serves one folder after the other.
///
/// For walks of whole trees: nothing is allocated for a name, and a folder costs a call for its names and one for each of them.
package struct FolderListing: Sendable {
    package struct Entry: Sendable {
        fileprivate let name: NameTable.Place
        package let status: FileStatus
    }

    package private(set) var entries: [Entry] = []
    private var names = NameTable()
    private var unsorted: [NameTable.Place] = []
    // Bytes: as the C library reads folders.
    private var records = [UInt8](repeating: 0, count: 32 * 1024)

    package init() {}

    package func name(of entry: Entry) -> ArraySlice<UInt8> { names[entry.name] }

    /// Lists all of a folder, which is open for reading, but `.` and `..`. A name that goes away meanwhile is left out.
    package mutating func read(_ folder: Directory) throws(SystemError) {
        try readNames(folder)
        let names = self.names
        unsorted.sort { names.precedes($0, $1) }
        entries.removeAll(keepingCapacity: true)
        for name in unsorted {
            if let status = try names.status(of: name, in: folder) { entries.append(Entry(name: name, status: status)) }
        }
    }

    private mutating func readNames(_ folder: Directory) throws(SystemError) {
        names.removeAll()
        unsorted.removeAll(keepingCapacity: true)
        let raw = folder.descriptor.raw
        guard lseek(raw, 0, SEEK_SET) == 0 else { throw .last("lseek", folder.path) }
        while true {
            let count = records.withUnsafeMutableBytes { imgbuild_getdents64(raw, $0.baseAddress, $0.count) }
            guard count >= 0 else { throw .last("getdents64", folder.path) }
            guard count > 0 else { return }
            records.withUnsafeBytes { records in
                // struct linux_dirent64 of getdents(2): inode and offset, 8 bytes each, the record's length, the type, the name.
                var start = 0
                while start < count {
                    let length = Int(records.loadUnaligned(fromByteOffset: start + 16, as: UInt16.self))
                    let name = records[(start + 19)..<(start + length)].prefix { $0 != 0 }
                    start += length
                    if name.count <= 2, name.allSatisfy({ $0 == UInt8(ascii: ".") }) { continue }
                    unsorted.append(names.append(bytes: name))
                }
            }
        }
    }
}
