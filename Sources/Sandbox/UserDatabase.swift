import Glibc
package import SystemIO
import SystemPackage

/// The users and groups of an image: its `/etc/passwd` and `/etc/group`.
package struct UserDatabase: Sendable {
    private struct User: Sendable {
        let name: [UInt8]
        let uid: UInt32
        let gid: UInt32
        let home: [UInt8]
    }

    private struct Group: Sendable {
        let name: [UInt8]
        let gid: UInt32
        let members: [[UInt8]]
    }

    private let users: [User]
    private let groups: [Group]

    /// Lines that are no entries (comments, NIS marks, broken ones) are passed over, as by the C library.
    package init(passwd: [UInt8], group: [UInt8]) {
        users = UserDatabase.lines(passwd).compactMap { fields in
            guard fields.count >= 4, !fields[0].isEmpty, let uid = Self.number(fields[2]),
                let gid = Self.number(fields[3])
            else { return nil }
            return User(name: fields[0], uid: uid, gid: gid, home: fields.count > 5 ? fields[5] : [])
        }
        groups = UserDatabase.lines(group).compactMap { fields in
            guard fields.count >= 3, !fields[0].isEmpty, let gid = Self.number(fields[2]) else { return nil }
            let members = fields.count > 3 ? fields[3].split(separator: UInt8(ascii: ",")).map(Array.init) : []
            return Group(name: fields[0], gid: gid, members: members)
        }
    }

    /// Bytes: no real file comes near, and a larger one is an attack on our memory.
    package static let fileSizeLimit = 10 * 1024 * 1024

    /// Reads the two files below an image's root; a missing one is empty.
    ///
    /// - Throws: `SystemError` where one is larger than `fileSizeLimit` (EFBIG) or not a regular file (EINVAL).
    package init(root: Directory) throws(SystemError) {
        self.init(passwd: try Self.read("etc/passwd", root), group: try Self.read("etc/group", root))
    }

    private static func read(_ path: FilePath, _ root: Directory) throws(SystemError) -> [UInt8] {
        let file: OwnedDescriptor
        do throws(SystemError) {
            // O_NONBLOCK: a fifo in that place must not hold us.
            file = try root.open(path, O_RDONLY | O_NONBLOCK, .inRoot)
        } catch {
            guard error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory else { throw error }
            return []
        }
        guard try file.status().kind == .file else {
            throw SystemError(call: "read", path: path, errno: .invalidArgument)
        }
        return try file.readAll(limit: fileSizeLimit)
    }

    // MARK: Resolving

    /// The identity for USER as a RUN sees it: `""`, `user`, `user:group`, each a name or a number.
    package func identity(of text: String) throws(UserError) -> UserIdentity {
        guard !text.isEmpty else { return .root }
        let (userText, groupText) = try Self.split(text)
        let known = user(userText)
        let uid: UInt32
        if let known {
            uid = known.uid
        } else if let number = Self.number(Array(userText.utf8)) {
            uid = number
        } else if userText == "root" {
            uid = 0
        } else {
            throw .unknownUser(userText)
        }
        let home = known.map { FilePath(bytes: $0.home) } ?? (uid == 0 ? "/root" : "/")
        guard groupText == nil else {
            let gid = try gid(of: groupText ?? "")
            return UserIdentity(uid: uid, gid: gid, groups: [gid], home: home.isEmpty ? "/" : home)
        }
        let gid = known?.gid ?? 0
        var all = [gid]
        for group in groups where known.map({ group.members.contains($0.name) }) == true && !all.contains(group.gid) {
            all.append(group.gid)
        }
        return UserIdentity(uid: uid, gid: gid, groups: all, home: home.isEmpty ? "/" : home)
    }

    /// Owner and group for `--chown`: a number alone is both, without a look into the files; a name brings its primary group.
    package func owner(of text: String) throws(UserError) -> (uid: UInt32, gid: UInt32) {
        let (userText, groupText) = try Self.split(text)
        let uid: UInt32
        let primary: UInt32
        if let number = Self.number(Array(userText.utf8)) {
            (uid, primary) = (number, number)
        } else if let known = user(userText) {
            (uid, primary) = (known.uid, known.gid)
        } else if userText == "root" {
            (uid, primary) = (0, 0)
        } else {
            throw .unknownUser(userText)
        }
        guard let groupText else { return (uid, primary) }
        return (uid, try gid(of: groupText))
    }

    /// A number is always an id, never a name made of digits.
    private func user(_ text: String) -> User? {
        let name = Array(text.utf8)
        if let uid = Self.number(name) { return users.first { $0.uid == uid } }
        return users.first { $0.name == name }
    }

    private func gid(of text: String) throws(UserError) -> UInt32 {
        let name = Array(text.utf8)
        if let number = Self.number(name) { return number }
        if let group = groups.first(where: { $0.name == name }) { return group.gid }
        guard text == "root" else { throw .unknownGroup(text) }
        return 0
    }

    // MARK: Text

    private static func split(_ text: String) throws(UserError) -> (String, String?) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard !parts[0].isEmpty, parts.count == 1 || !parts[1].isEmpty else { throw .malformed(text) }
        for part in parts
        where !part.utf8.contains(where: { !(0x30...0x39).contains($0) }) && number(Array(part.utf8)) == nil {
            throw .idOutOfRange(part)
        }
        return (parts[0], parts.count > 1 ? parts[1] : nil)
    }

    private static func lines(_ bytes: [UInt8]) -> [[[UInt8]]] {
        bytes.split(separator: UInt8(ascii: "\n")).map { line in
            line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map(Array.init)
        }
    }

    /// A decimal id. 2^32 - 1 is none: to the kernel it means "leave as it is".
    private static func number(_ digits: [UInt8]) -> UInt32? {
        guard !digits.isEmpty, digits.count <= 10, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        let value = digits.reduce(UInt64(0)) { $0 * 10 + UInt64($1 - 0x30) }
        return value < UInt64(UInt32.max) ? UInt32(value) : nil
    }
}

/// A user or group that cannot be resolved.
package enum UserError: Error, Sendable, Hashable, CustomStringConvertible {
    case unknownUser(String)
    case unknownGroup(String)
    case idOutOfRange(String)
    case malformed(String)

    package var description: String {
        switch self {
        case .unknownUser(let name): "no user named '\(FilePath.printable(name.utf8))' in the image's /etc/passwd"
        case .unknownGroup(let name): "no group named '\(FilePath.printable(name.utf8))' in the image's /etc/group"
        case .idOutOfRange(let text): "the id \(text) is out of range (0 to 4294967294)"
        case .malformed(let text): "'\(FilePath.printable(text.utf8))' is not of the form user[:group]"
        }
    }
}
