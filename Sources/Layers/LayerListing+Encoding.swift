package import OCI
import SystemIO

// A listing as bytes, for the state folder and for caches:
//
//     "imgbuild listing 1\n"  diffID as text
//     number of entries, then for each:
//         length of the beginning that its path shares with the one before, length of the rest, the rest
//         kind, and what the kind has: size | length and target | major, minor
//         unless it is a deletion: permissions, uid, gid, seconds, nanoseconds, number of attributes: name and value each
//     number of contents, then for each: place of its entry, length, bytes
//     SHA-256 of all before (32 bytes)
//
// Numbers are LEB128, signed ones zigzag: small ones, as most are, take one byte.
extension LayerListing {
    private static let magic = Array("imgbuild listing 1\n".utf8)

    package func encoded() -> [UInt8] {
        var output = Output()
        output.bytes += LayerListing.magic
        output.bytes += Array(diffID.description.utf8)
        output.number(entries.count)
        var last: [UInt8] = []
        for entry in entries {
            output.entry(entry, after: last)
            last = entry.path
        }
        output.number(contents.count)
        for (place, bytes) in contents.sorted(by: { $0.key < $1.key }) {
            output.number(place)
            output.string(bytes)
        }
        return output.bytes + SHA256.hash(output.bytes)
    }

    /// Reads what `encoded` gave.
    ///
    /// - Returns: `nil` for bytes that are damaged, of another version or of another layer: whoever has them makes the
    ///   listing anew. A listing never holds a path that a tar could not give.
    package init?(decoding bytes: [UInt8], of diffID: Digest) {
        let body = bytes.dropLast(Digest.byteCount)
        guard bytes.count > Digest.byteCount, Array(bytes.suffix(Digest.byteCount)) == SHA256.hash(Array(body)),
            body.starts(with: LayerListing.magic + diffID.description.utf8)
        else { return nil }
        var input = Input(rest: body.dropFirst(LayerListing.magic.count + diffID.description.utf8.count))
        // An entry takes at least four bytes, which bounds what a false number could make us reserve.
        guard let count = input.count(upTo: body.count / 4) else { return nil }
        var entries: [LayerEntry] = []
        entries.reserveCapacity(count)
        var last: [UInt8] = []
        for _ in 0..<count {
            guard let entry = input.entry(after: last) else { return nil }
            last = entry.path
            entries.append(entry)
        }
        var contents: [Int: [UInt8]] = [:]
        guard let kept = input.count(upTo: entries.count) else { return nil }
        for _ in 0..<kept {
            guard let place = input.count(upTo: entries.count - 1), let bytes = input.string(),
                entries[place].kind == .file(size: Int64(bytes.count))
            else { return nil }
            contents[place] = bytes
        }
        guard input.rest.isEmpty else { return nil }
        self.init(diffID: diffID, entries: entries, contents: contents)
    }

    /// What an entry is, as one byte.
    private enum Letter: UInt8 {
        case file = 1
        case directory, symlink, hardLink, characterDevice, blockDevice, fifo, whiteout, opaqueMarker

        var isDeletion: Bool { self == .whiteout || self == .opaqueMarker }
    }

    private struct Output {
        var bytes: [UInt8] = []

        mutating func number(_ value: some BinaryInteger) {
            var rest = UInt64(truncatingIfNeeded: value)
            while rest >= 0x80 {
                bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }

        mutating func signed(_ value: Int64) {
            number(UInt64(bitPattern: value << 1 ^ value >> 63))
        }

        mutating func string(_ string: [UInt8]) {
            number(string.count)
            bytes += string
        }

        mutating func entry(_ entry: LayerEntry, after last: [UInt8]) {
            var shared = 0
            while shared < min(last.count, entry.path.count), last[shared] == entry.path[shared] { shared += 1 }
            number(shared)
            number(entry.path.count - shared)
            bytes += entry.path[shared...]
            switch entry.kind {
            case .file(let size): letter(.file); number(size)
            case .directory: letter(.directory)
            case .symlink(let target): letter(.symlink); string(target)
            case .hardLink(let target): letter(.hardLink); string(target)
            case .characterDevice(let device): letter(.characterDevice); number(device.major); number(device.minor)
            case .blockDevice(let device): letter(.blockDevice); number(device.major); number(device.minor)
            case .fifo: letter(.fifo)
            case .whiteout: return letter(.whiteout)
            case .opaqueMarker: return letter(.opaqueMarker)
            }
            number(entry.permissions)
            number(entry.uid)
            number(entry.gid)
            signed(entry.modified.seconds)
            number(entry.modified.nanoseconds)
            number(entry.attributes.count)
            for attribute in entry.attributes {
                string(Array(attribute.name.utf8))
                string(attribute.value)
            }
        }

        private mutating func letter(_ letter: Letter) {
            bytes.append(letter.rawValue)
        }
    }

    private struct Input {
        var rest: ArraySlice<UInt8>

        mutating func number() -> UInt64? {
            var value: UInt64 = 0
            for shift in stride(from: 0, through: 63, by: 7) {
                guard let byte = rest.popFirst() else { return nil }
                value |= UInt64(byte & 0x7f) << UInt64(shift)
                if byte < 0x80 { return value }
            }
            return nil
        }

        mutating func number<T: FixedWidthInteger>(as type: T.Type) -> T? {
            number().flatMap { T(exactly: $0) }
        }

        mutating func signed() -> Int64? {
            number().map { Int64(bitPattern: $0 >> 1) ^ -Int64(bitPattern: $0 & 1) }
        }

        mutating func count(upTo limit: Int) -> Int? {
            guard let count = number(as: Int.self), count <= limit else { return nil }
            return count
        }

        mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard count <= rest.count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }

        mutating func string() -> [UInt8]? {
            count(upTo: rest.count).flatMap { take($0) }.map { Array($0) }
        }

        mutating func device() -> DeviceNumber? {
            guard let major = number(as: UInt32.self), let minor = number(as: UInt32.self) else { return nil }
            return DeviceNumber(major: major, minor: minor)
        }

        mutating func kind(_ letter: Letter) -> LayerEntry.Kind? {
            switch letter {
            case .file: number(as: Int64.self).map { .file(size: $0) }
            case .directory: .directory
            case .symlink: string().map { .symlink(target: $0) }
            case .hardLink: string().flatMap { $0.isPlainPath ? .hardLink(target: $0) : nil }
            case .characterDevice: device().map { .characterDevice($0) }
            case .blockDevice: device().map { .blockDevice($0) }
            case .fifo: .fifo
            case .whiteout: .whiteout
            case .opaqueMarker: .opaqueMarker
            }
        }

        mutating func entry(after last: [UInt8]) -> LayerEntry? {
            guard let shared = count(upTo: last.count), let length = count(upTo: rest.count), let end = take(length),
                let letter = rest.popFirst().flatMap({ Letter(rawValue: $0) }), let kind = kind(letter)
            else { return nil }
            let path = last[..<shared] + end
            guard path.isEmpty ? kind == .directory || kind == .opaqueMarker : Array(path).isPlainPath else {
                return nil
            }
            var entry = LayerEntry(path: Array(path), kind: kind)
            if letter.isDeletion { return entry }
            guard let permissions = number(as: UInt16.self), let uid = number(as: UInt32.self),
                let gid = number(as: UInt32.self), let seconds = signed(), let nanoseconds = number(as: Int32.self),
                let attributes = count(upTo: rest.count / 2)
            else { return nil }
            (entry.permissions, entry.uid, entry.gid) = (permissions, uid, gid)
            entry.modified = Timestamp(seconds: seconds, nanoseconds: nanoseconds)
            for _ in 0..<attributes {
                guard let name = string(), let value = string() else { return nil }
                entry.attributes.append(
                    ExtendedAttribute(name: String(decoding: name, as: UTF8.self), value: value))
            }
            return entry
        }
    }
}

extension [UInt8] {
    /// Whether these are names between single slashes, none of them `.` or `..`.
    fileprivate var isPlainPath: Bool {
        !contains(0)
            && split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { name in
                !name.isEmpty && !name.elementsEqual(".".utf8) && !name.elementsEqual("..".utf8)
            }
    }
}
