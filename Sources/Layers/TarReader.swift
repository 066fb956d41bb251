// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13_01

import CArchive
import Glibc
package import OCI
package import SystemIO
import SystemPackage

/// Reads the entries of a tar one after the other.
///
/// It reads ustar, pax, GNU and old tars: long names, big ids and sizes, nanoseconds, sparse files, extended attributes
/// written as `SCHILY.xattr` or `LIBARCHIVE.xattr`. Special headers above 1 MiB, or more than 32 in a row, are refused by
/// libarchive; a regular file's size is what its content will have.
///
/// Names, and targets of hard links, are cleaned: empty and `.` components go (`./a//b/` is `a/b`), an absolute name counts
/// from the root. A `..` component is refused, as is a name of more than 4095 bytes.
package struct TarReader: ~Copyable {
    /// A part of a file's content. Bytes between two blocks, and after the last one up to the size, are zero.
    package struct Block {
        package let offset: Int64
        /// Valid until the reader is asked for anything else.
        package let bytes: UnsafeRawBufferPointer
    }

    private enum Mode {
        case layer, archive
    }

    private let archive: OpaquePointer
    private let source: TarSource
    private let mode: Mode
    /// For messages: the layer's digest, or the archive's name.
    private let name: String
    private let entryLimit: Int
    private var count = 0
    private var current: [UInt8]?

    /// Entries of one tar, passed over ones included: five times the million files that an image may well have. A few megabytes of
    /// zstd can hold a billion headers, and each takes memory, or time, or an inode of the disk.
    package static let entryLimit = 5_000_000

    /// Reads a layer's blob. Names that begin with `.wh.` become whiteouts and opaque markers; AUFS's own bookkeeping
    /// (`.wh..wh.*`) is passed over.
    ///
    /// - Parameters:
    ///   - growth: of a blob that is still arriving.
    ///   - entryLimit: a tar with more entries is refused; other than the default for tests.
    package init(
        layer blob: consuming OwnedDescriptor, compression: MediaType.Compression, growth: FileGrowth? = nil,
        name: String, entryLimit: Int = TarReader.entryLimit
    ) throws(LayerError) {
        let format: Decompressor.Format =
            switch compression {
            case .none: .none
            case .gzip: .gzip
            case .zstd: .zstd
            }
        let source = TarSource(layer: HashedStream(blob, format: format, growth: growth), name: name)
        self.archive = try TarReader.open(source, name: name) { archive in
            archive_read_support_format_empty(archive)
        }
        self.source = source
        self.mode = .layer
        self.name = name
        self.entryLimit = entryLimit
    }

    /// Reads any tar, plain or compressed with gzip, bzip2, xz or zstd: found out from the content. Names that begin with
    /// `.wh.` are ordinary here.
    package init(archive file: consuming OwnedDescriptor, name: String) throws(LayerError) {
        let source = TarSource(archive: Decompressor(file, format: .none), name: name)
        self.archive = try TarReader.open(source, name: name) { archive in
            archive_read_support_filter_gzip(archive)
            archive_read_support_filter_bzip2(archive)
            archive_read_support_filter_xz(archive)
            archive_read_support_filter_zstd(archive)
        }
        self.source = source
        self.mode = .archive
        self.name = name
        entryLimit = TarReader.entryLimit
    }

    deinit {
        archive_read_free(archive)
    }

    /// Whether a file that can be sought is a tar that `init(archive:)` reads, judged by its first header alone. Empty and
    /// broken files are not, nor is a tar without any entry. The file's position does not change.
    package static func looksLikeArchive(_ file: borrowing OwnedDescriptor) throws(LayerError) -> Bool {
        let copy: OwnedDescriptor
        do throws(SystemError) { copy = try file.duplicate() } catch { throw .system(error) }
        do throws(LayerError) {
            var reader = try TarReader(archive: copy, name: "")
            return try reader.nextHeader() != nil
        } catch {
            guard case .invalid = error else { throw error }
            return false
        }
    }

    private static func open(
        _ source: TarSource, name: String, _ support: (OpaquePointer) -> Void
    ) throws(LayerError) -> OpaquePointer {
        // Fails only when memory is exhausted, which nothing here survives.
        guard let archive = archive_read_new() else { fatalError("libarchive cannot start to read") }
        archive_read_support_format_tar(archive)
        support(archive)
        let result = archive_read_open(
            archive, Unmanaged.passUnretained(source).toOpaque(), nil,
            { _, context, block in
                guard let context, let block else { return Int(ARCHIVE_FATAL) }
                return Unmanaged<TarSource>.fromOpaque(context).takeUnretainedValue().give(block)
            }, nil)
        guard result >= ARCHIVE_WARN else {
            defer { archive_read_free(archive) }
            throw source.failure ?? .invalid(layer: name, entry: nil, reason: message(of: archive))
        }
        return archive
    }

    // MARK: Entries

    /// The next entry, `nil` at the end of the tar; what was not read of the content before is passed over.
    ///
    /// In a tar's root folder `./` the path is empty; a whiteout's is the deleted name, an opaque marker's the folder.
    package mutating func next() throws(LayerError) -> LayerEntry? {
        while let header = try nextHeader() {
            if let entry = try entry(from: header) { return entry }
        }
        return nil
    }

    /// The next part of the current entry's content, `nil` at its end.
    package mutating func nextBlock() throws(LayerError) -> Block? {
        var bytes: UnsafeRawPointer?
        var count = 0
        var offset: la_int64_t = 0
        while true {
            switch archive_read_data_block(archive, &bytes, &count, &offset) {
            case ARCHIVE_OK where count == 0: continue
            case ARCHIVE_OK:
                return Block(offset: offset, bytes: UnsafeRawBufferPointer(start: bytes, count: count))
            case ARCHIVE_EOF: return nil
            default: throw failure()
            }
        }
    }

    /// Reads what follows the tar's end in the stream, and gives the SHA-256 of all of the stream: a layer's diffID.
    ///
    /// - Precondition: made by `init(layer:)`, and not called before.
    package mutating func finish() throws(LayerError) -> Digest {
        Digest(sha256: try source.finish())
    }

    private mutating func nextHeader() throws(LayerError) -> OpaquePointer? {
        var header: OpaquePointer?
        switch archive_read_next_header(archive, &header) {
        case ARCHIVE_OK: return header
        // A name that is not UTF-8 though pax says so: its bytes are kept as they are. Other warnings mean that the header was
        // not understood, and it may have said anything.
        case ARCHIVE_WARN:
            let warning = TarReader.message(of: archive)
            guard warning.contains("converted") else { throw invalid(warning) }
            return header
        case ARCHIVE_EOF: return nil
        default: throw failure()
        }
    }

    private func failure() -> LayerError {
        source.failure ?? invalid(TarReader.message(of: archive))
    }

    private func invalid(_ reason: String) -> LayerError {
        .invalid(layer: name, entry: current.map { FilePath.printable($0) }, reason: reason)
    }

    private static func message(of archive: OpaquePointer) -> String {
        archive_error_string(archive).map { String(cString: $0) } ?? "the archive cannot be read"
    }

    // MARK: From a header to an entry

    /// `nil` for an entry that is passed over.
    private mutating func entry(from header: OpaquePointer) throws(LayerError) -> LayerEntry? {
        guard let raw = archive_entry_pathname(header) else { throw invalid("the entry has no name") }
        current = UnsafeRawBufferPointer(start: raw, count: strlen(raw)).map { $0 }
        let path = try cleaned(raw)
        current = path
        count += 1
        guard count <= entryLimit else { throw invalid("it is one of more than \(entryLimit) entries") }
        if mode == .layer, let special = WhiteoutName(path) {
            switch special {
            case .bookkeeping: return nil
            case .whiteout(let path): return LayerEntry(path: path, kind: .whiteout)
            case .opaqueMarker(let path): return LayerEntry(path: path, kind: .opaqueMarker)
            case .invalid: throw invalid("'.wh.' marks a deleted name, and there is none")
            }
        }
        let kind = try kind(of: header)
        guard !path.isEmpty || kind == .directory else { throw invalid("the root of the tree is not a folder") }
        return LayerEntry(
            path: path, kind: kind,
            permissions: UInt16(archive_entry_perm(header) & 0o7777),
            uid: try id(archive_entry_uid(header)), gid: try id(archive_entry_gid(header)),
            modified: Timestamp(
                seconds: Int64(archive_entry_mtime(header)),
                nanoseconds: Int32(clamping: min(max(archive_entry_mtime_nsec(header), 0), 999_999_999))),
            attributes: try attributes(of: header))
    }

    private func kind(of header: OpaquePointer) throws(LayerError) -> LayerEntry.Kind {
        if let target = archive_entry_hardlink(header) {
            let path = try cleaned(target)
            guard !path.isEmpty else { throw invalid("a hard link to the root of the tree") }
            return .hardLink(target: path)
        }
        switch archive_entry_filetype(header) & S_IFMT {
        case S_IFREG:
            let size = archive_entry_size(header)
            guard size >= 0 else { throw invalid("its size is negative") }
            return .file(size: size)
        case S_IFDIR: return .directory
        case S_IFLNK:
            guard let target = archive_entry_symlink(header), target.pointee != 0 else {
                throw invalid("a symlink without a target")
            }
            return .symlink(target: UnsafeRawBufferPointer(start: target, count: strlen(target)).map { $0 })
        case S_IFCHR: return .characterDevice(try device(of: header))
        case S_IFBLK: return .blockDevice(try device(of: header))
        case S_IFIFO: return .fifo
        default: throw invalid("its type cannot be part of an image")
        }
    }

    private func device(of header: OpaquePointer) throws(LayerError) -> DeviceNumber {
        // The kernel's limits: 12 bits and 20 bits (MINORBITS of <linux/kdev_t.h>).
        guard let major = UInt32(exactly: archive_entry_rdevmajor(header)), major < 1 << 12,
            let minor = UInt32(exactly: archive_entry_rdevminor(header)), minor < 1 << 20
        else { throw invalid("its device number does not exist") }
        return DeviceNumber(major: major, minor: minor)
    }

    private func id(_ value: la_int64_t) throws(LayerError) -> UInt32 {
        // The largest 32-bit id means "leave it" to chown and is no owner.
        guard let id = UInt32(exactly: value), id != .max else { throw invalid("its owner \(value) is not an id") }
        return id
    }

    private func attributes(of header: OpaquePointer) throws(LayerError) -> [ExtendedAttribute] {
        guard archive_entry_xattr_reset(header) > 0 else { return [] }
        var found: [String: [UInt8]] = [:]
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var count = 0
        while archive_entry_xattr_next(header, &name, &value, &count) == ARCHIVE_OK {
            guard let text = name.flatMap({ String(validatingCString: $0) }) else {
                throw invalid("the name of an extended attribute is not UTF-8")
            }
            if text.isOverlayAttribute { continue }
            found[text] = UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : count).map { $0 }
        }
        return found.map { ExtendedAttribute(name: $0.key, value: $0.value) }.sorted()
    }

    /// The name with single slashes, counted from the root, without `.`; see the type.
    private func cleaned(_ raw: UnsafePointer<CChar>) throws(LayerError) -> [UInt8] {
        let bytes = UnsafeRawBufferPointer(start: raw, count: strlen(raw))
        // PATH_MAX less its NUL: no call of the kernel takes a longer name.
        guard bytes.count < Int(PATH_MAX) else { throw invalid("its name is longer than 4095 bytes") }
        var path: [UInt8] = []
        path.reserveCapacity(bytes.count)
        for component in bytes.split(separator: UInt8(ascii: "/")) {
            if component.elementsEqual([UInt8(ascii: ".")]) { continue }
            guard !component.elementsEqual([UInt8(ascii: "."), UInt8(ascii: ".")]) else {
                throw invalid("a name with '..' could lead out of the tree")
            }
            if !path.isEmpty { path.append(UInt8(ascii: "/")) }
            path.append(contentsOf: component)
        }
        return path
    }
}

extension String {
    /// Whether the extended attribute is one that overlayfs keeps for itself.
    var isOverlayAttribute: Bool { hasPrefix("trusted.overlay.") || hasPrefix("user.overlay.") }
}
