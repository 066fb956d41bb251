import CSpawn
import Glibc
import SystemPackage

/// One extended attribute of a file: `security.capability`, `user.*`, ...
package struct ExtendedAttribute: Sendable, Hashable, Comparable {
    /// The name in full, as bytes without NUL.
    package let name: String
    package let value: [UInt8]

    package init(name: String, value: [UInt8]) {
        self.name = name
        self.value = value
    }

    package static func < (a: ExtendedAttribute, b: ExtendedAttribute) -> Bool {
        a.name.utf8.lexicographicallyPrecedes(b.name.utf8)
    }

    /// - Parameters:
    ///   - path: where the file is for this process; its last component is not followed.
    ///   - naming: the name for messages.
    static func list(at path: FilePath, naming: FilePath) throws(SystemError) -> [ExtendedAttribute] {
        // XATTR_LIST_MAX and XATTR_SIZE_MAX of <linux/limits.h> are 64 KiB each: no larger answer exists.
        let limit = 64 * 1024
        var list = [CChar](repeating: 0, count: 1024)
        var length = path.withCString { imgbuild_llistxattr($0, &list, list.count) }
        if length < 0, errno == ERANGE {
            list = [CChar](repeating: 0, count: limit)
            length = path.withCString { imgbuild_llistxattr($0, &list, list.count) }
        }
        guard length >= 0 else {
            if errno == ENOTSUP { return [] }
            throw .last("llistxattr", naming)
        }
        guard length > 0 else { return [] }
        var attributes: [ExtendedAttribute] = []
        for bytes in list[..<length].split(separator: 0) {
            let name = String(decoding: bytes.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            var value = [UInt8](repeating: 0, count: 256)
            var size = path.withCString { imgbuild_lgetxattr($0, name, &value, value.count) }
            if size < 0, errno == ERANGE {
                value = [UInt8](repeating: 0, count: limit)
                size = path.withCString { imgbuild_lgetxattr($0, name, &value, value.count) }
            }
            guard size >= 0 else {
                if errno == ENODATA || errno == ENOTSUP { continue }  // gone meanwhile, or not ours to read
                throw .last("lgetxattr", naming)
            }
            attributes.append(ExtendedAttribute(name: name, value: Array(value[..<size])))
        }
        return attributes.sorted()
    }

    func set(at path: FilePath, naming: FilePath) throws(SystemError) {
        let result = path.withCString { imgbuild_lsetxattr($0, name, value, value.count) }
        guard result == 0 else { throw .last("lsetxattr", naming) }
    }
}
