// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#applying-changesets

import Glibc
package import OCI
package import SystemIO

/// How deletions are kept in an unpacked tree.
package enum TreeConvention: Sendable, Hashable {
    /// The tree holds one layer and is stacked by overlayfs: a whiteout is a 0:0 character device, an opaque folder carries
    /// the attribute `overlay.opaque` of the given namespace.
    case overlay(AttributeNamespace)
    /// The tree holds all layers so far: deletions are carried out at once.
    case flat

    /// Where overlayfs looks for its attributes.
    package enum AttributeNamespace: Sendable, Hashable {
        case trusted
        /// In user namespaces (mount option `userxattr`).
        case user

        package var opaque: String {
            switch self {
            case .trusted: "trusted.overlay.opaque"
            case .user: "user.overlay.opaque"
            }
        }
    }
}

/// What `LayerUnpacker` says of the tree it made.
package struct UnpackedTree: Sendable, Hashable {
    /// Folders that no entry of the layer describes and that were made, 0755, owned by root, time 0, because something
    /// lies in them; sorted. In a stack their attributes belong to the layers below.
    package var impliedDirectories: [[UInt8]] = []
    /// Whether the layer says whose the root is: if not, its attributes belong to the layers below, too.
    package var isRootDescribed = false
    /// The layer deletes all that is below it: overlayfs cannot say that of a layer's root, so the layers below must be
    /// left out of the stack. (In a flat tree it was carried out.)
    package var isRootOpaque = false
    /// The layer cannot be understood alone: it has hard links to files that lower layers must have. The tree is of no use;
    /// the layer must be unpacked again on a view of what is below. So are layers that name a folder only after what is in it, for
    /// it might be a symlink there. (Not for flat trees, which have it all.)
    package var dependsOnLower = false
    /// Device nodes that could not be made, as in any user namespace; they show as absent.
    package var leftOutDevices: [[UInt8]] = []
    /// Names of extended attributes that the file system or our rights refused on some entry; sorted.
    package var refusedAttributes: [String] = []
    /// Of flat trees: which inodes were made, and for which entry; see `FileOrigins`.
    var placed: [PlacedFile] = []

    struct PlacedFile: Sendable, Hashable {
        let inode: UInt64
        /// The entry's number in the layer, counted from 0.
        let entry: Int32
    }
}

/// Lays the files of a layer into a folder, treating every layer as hostile.
///
/// Nothing outside the folder is read, made or changed, whatever names and links the layer has: folders are opened one
/// component at a time and never through a symlink; symlinks on the way to an entry are followed by us, inside the root.
///
/// - An entry replaces what has its name, but a folder on a folder is merged. A symlink in the way of a folder is replaced,
///   as every unpacker does; an entry *below* a symlink goes where the link leads, inside the root, and what is missing there is made.
/// - An entry below a file, a hard link to what is not in the tree, sockets and unknown types are errors.
/// - Whiteouts concern what lower layers have, in any order: what the layer itself has is kept, and the folders that it is in.
/// - A folder that is deleted, or whose content is by an opaque marker, and that no entry of the layer describes, is a new one.
/// - Owners, then modes, then attributes (a `security.capability` would not survive a change of owner), then times; of
///   folders at the end. The process's umask plays no part.
///
/// After a failure the tree holds a part of the layer and is of no use.
package enum LayerUnpacker {
    /// Unpacks `blob` into `root`: an empty folder with the overlay convention, the tree of the lower layers with the flat one.
    ///
    /// - Parameters:
    ///   - lower: with the overlay convention, what the layer lies on, where that matters: symlinks of lower layers on the
    ///     way to an entry lead on, and hard links lead to their files, which must be on the file system of `root`.
    ///   - diffID: what the tar must hash to, padding at its end included; else `LayerError.digestMismatch`.
    ///   - name: the layer for messages, as its digest.
    ///   - growth: of a blob that is still arriving; success means that it arrived, and was verified.
    package static func unpack(
        blob: borrowing OwnedDescriptor, compression: MediaType.Compression, expecting diffID: Digest, name: String,
        growth: FileGrowth? = nil, into root: Directory, convention: TreeConvention, on lower: UnionTree? = nil,
        cancellation: Cancellation
    ) throws(LayerError) -> UnpackedTree {
        let copy: OwnedDescriptor
        do throws(SystemError) { copy = try blob.duplicate() } catch { throw .system(error) }
        var reader = try TarReader(layer: copy, compression: compression, growth: growth, name: name)
        var writer = try TreeWriter(root: root, convention: convention, lower: lower, layer: name)
        while let entry = try reader.next() {
            guard !cancellation.isCancelled else { throw .cancelled }
            writer.number += 1
            if case .file = entry.kind {
                try writer.placeFile(entry, from: &reader, cancellation)
            } else {
                try writer.place(entry)
            }
        }
        let actual = try reader.finish()
        guard actual == diffID else {
            throw .digestMismatch(expected: diffID.description, actual: actual.description)
        }
        return try writer.finish()
    }
}
