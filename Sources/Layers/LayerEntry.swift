// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md

package import SystemIO

/// One file of a layer, as its tar header says it. The content of a regular file is not part of it.
package struct LayerEntry: Sendable, Hashable {
    /// Relative to the image's root, components joined by single slashes, none of them empty, `.` or `..`: `usr/bin/env`.
    /// Bytes: names need not be UTF-8.
    package var path: [UInt8]
    package var kind: Kind
    /// The low 12 bits of the mode: permissions, setuid, setgid, sticky.
    package var permissions: UInt16
    package var uid: UInt32
    package var gid: UInt32
    package var modified: Timestamp
    /// Sorted by name; without overlayfs' own (`trusted.overlay.*`, `user.overlay.*`).
    package var attributes: [ExtendedAttribute]

    package enum Kind: Sendable, Hashable {
        /// A regular file of `size` bytes.
        case file(size: Int64)
        case directory
        case symlink(target: [UInt8])
        /// Another name of a file that stands earlier in the same layer.
        case hardLink(target: [UInt8])
        case characterDevice(DeviceNumber)
        case blockDevice(DeviceNumber)
        case fifo
        /// `path` is deleted: stands in the tar as an empty file `.wh.NAME` beside it.
        case whiteout
        /// What lower layers have in the folder `path` is deleted: `path/.wh..wh..opq` in the tar.
        case opaqueMarker
    }

    package init(
        path: [UInt8], kind: Kind, permissions: UInt16 = 0, uid: UInt32 = 0, gid: UInt32 = 0,
        modified: Timestamp = Timestamp(seconds: 0), attributes: [ExtendedAttribute] = []
    ) {
        self.path = path
        self.kind = kind
        self.permissions = permissions
        self.uid = uid
        self.gid = gid
        self.modified = modified
        self.attributes = attributes
    }
}
