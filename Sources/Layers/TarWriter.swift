// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html (pax interchange format)
// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md

import CArchive
import Glibc
package import SystemIO
import SystemPackage

/// Writes a tar into a compression pipeline: ustar headers, and pax records only for what ustar cannot hold.
///
/// libarchive writes the format. Names are bytes: a name that is not ASCII goes into a pax record marked
/// `hdrcharset=BINARY`, since libarchive can translate only ASCII in the C locale, in which the process stays. No access time,
/// change time, owner name or sparse map is written. After an error the archive is of no use and must be dropped.
package struct TarWriter: ~Copyable {
    private let archive: OpaquePointer
    private let entry: OpaquePointer
    private let output: Output
    private let name: String
    private let cancellation: Cancellation

    /// What libarchive's callback writes to; it outlives the archive.
    private final class Output {
        var pipeline: CompressionPipeline?
        var failure: SystemError?

        init(_ pipeline: consuming CompressionPipeline) {
            self.pipeline = consume pipeline
        }

        /// Takes bytes that libarchive hands out: its own are copied, ours lie in the pipeline already.
        func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
            do throws(SystemError) {
                if let free = pipeline?.freeSpace.baseAddress, UnsafeRawPointer(free) == bytes.baseAddress {
                    try pipeline?.commit(bytes.count)
                } else {
                    try pipeline?.append(bytes)
                }
                return true
            } catch {
                failure = error
                return false
            }
        }
    }

    /// - Parameter name: what is written, for messages: "layer", "archive 'x.tar'".
    package init(
        into pipeline: consuming CompressionPipeline, name: String, cancellation: Cancellation
    ) throws(LayerError) {
        // These fail only when memory is exhausted, which nothing here survives.
        guard let archive = archive_write_new(), let entry = archive_entry_new() else {
            fatalError("libarchive cannot start an archive")
        }
        let output = Output(pipeline)
        self.archive = archive
        self.entry = entry
        self.output = output
        self.name = name
        self.cancellation = cancellation
        // Not pax_restricted: it drops the fraction of a modification time unless something else needs a record.
        archive_write_set_format_pax(archive)
        // The default writes each attribute twice, once for libarchive itself.
        let options = archive_write_set_options(archive, "pax:xattrheader=SCHILY")
        // 0: each piece goes to the callback as it is, without a copy and without padding at the end.
        archive_write_set_bytes_per_block(archive, 0)
        let opened = archive_write_open(
            archive, Unmanaged.passUnretained(output).toOpaque(), nil,
            { _, context, bytes, count in
                guard let context else { return -1 }
                let output = Unmanaged<Output>.fromOpaque(context).takeUnretainedValue()
                return output.take(UnsafeRawBufferPointer(start: bytes, count: count)) ? count : -1
            }, nil)
        guard options == ARCHIVE_OK, opened == ARCHIVE_OK else {
            throw .invalid(layer: name, entry: nil, reason: TarWriter.reason(archive))
        }
    }

    deinit {
        // Without this, freeing an unfinished archive would write an end to it.
        archive_write_fail(archive)
        archive_write_free(archive)
        archive_entry_free(entry)
    }

    // MARK: Entries

    /// Writes the header of `item`. For a regular file with a size, `writeContent` must follow.
    package mutating func writeHeader(_ item: LayerEntry) throws(LayerError) {
        guard !cancellation.isCancelled else { throw .cancelled }
        try describe(item)
        let result = archive_write_header(archive, entry)
        // The one warning that is expected: a name is not ASCII, so it was written as bytes.
        guard result == ARCHIVE_OK || (result == ARCHIVE_WARN && !TarWriter.isASCII(item)) else {
            throw failure(on: item)
        }
    }

    /// Writes the content of the file `item`, whose header was written last, from the beginning of `file`.
    ///
    /// A file that is shorter or longer than its header says is an error.
    package mutating func writeContent(of item: LayerEntry, size: Int64, from file: borrowing OwnedDescriptor)
        throws(LayerError)
    {
        var offset: Int64 = 0
        while true {
            guard !cancellation.isCancelled else { throw .cancelled }
            guard let space = output.pipeline?.freeSpace else { preconditionFailure("the archive is finished") }
            // One byte more than there should be, to see that the file ends.
            let wanted = Int(min(Int64(space.count), size - offset + 1))
            let count: Int
            do throws(SystemError) {
                count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: space[..<wanted]), at: offset)
            } catch {
                throw .system(SystemError(call: error.call, path: FilePath(bytes: item.path), errno: error.errno))
            }
            guard Int64(count) <= size - offset else {
                throw invalid(item, "the file grew while it was read: it had \(size) bytes")
            }
            guard count > 0 || offset == size else {
                throw invalid(item, "the file shrank while it was read, from \(size) to \(offset) bytes")
            }
            try writeData(UnsafeRawBufferPointer(rebasing: space[..<count]), of: item)
            offset += Int64(count)
            // A regular file answers with less than was asked for only at its end.
            if offset == size, count < wanted { return }
        }
    }

    /// Writes the content of the file `item`, whose header was written last: `size` bytes of `file` from `start` on.
    package mutating func writeStretch(
        of item: LayerEntry, size: Int64, from file: borrowing OwnedDescriptor, at start: Int64
    ) throws(LayerError) {
        var offset: Int64 = 0
        while offset < size {
            guard !cancellation.isCancelled else { throw .cancelled }
            guard let space = output.pipeline?.freeSpace else { preconditionFailure("the archive is finished") }
            let wanted = UnsafeMutableRawBufferPointer(rebasing: space[..<Int(min(Int64(space.count), size - offset))])
            let count: Int
            do throws(SystemError) { count = try file.read(into: wanted, at: start + offset) } catch {
                throw .system(error)
            }
            guard count > 0 else { throw invalid(item, "its content ends after \(offset) of \(size) bytes") }
            try writeData(UnsafeRawBufferPointer(rebasing: wanted[..<count]), of: item)
            offset += Int64(count)
        }
    }

    /// Writes the content of the file `item`, whose header was written last; all of its bytes, in one or more calls.
    package mutating func writeContent(of item: LayerEntry, _ bytes: [UInt8]) throws(LayerError) {
        let result: Result<Void, LayerError> = bytes.withUnsafeBytes { buffer in
            do throws(LayerError) { return .success(try writeData(buffer, of: item)) } catch { return .failure(error) }
        }
        try result.get()
    }

    private func writeData(_ bytes: UnsafeRawBufferPointer, of item: LayerEntry) throws(LayerError) {
        guard !bytes.isEmpty else { return }
        guard archive_write_data(archive, bytes.baseAddress, bytes.count) == bytes.count else {
            throw failure(on: item)
        }
    }

    /// Ends the archive with two zero blocks. All of it has reached the sink when this returns.
    package consuming func finish() throws(LayerError) -> CompressionPipeline.Summary {
        guard !cancellation.isCancelled else { throw .cancelled }
        guard archive_write_close(archive) == ARCHIVE_OK else { throw failure(on: nil) }
        guard let pipeline = output.pipeline.take() else { preconditionFailure("the archive is finished") }
        do throws(SystemError) { return try pipeline.finish() } catch { throw .system(error) }
    }

    // MARK: Headers

    private func describe(_ item: LayerEntry) throws(LayerError) {
        archive_entry_clear(entry)
        TarWriter.withCString(item.tarName) { archive_entry_copy_pathname(entry, $0) }
        archive_entry_set_uid(entry, Int64(item.uid))
        archive_entry_set_gid(entry, Int64(item.gid))
        archive_entry_set_mtime(entry, time_t(item.modified.seconds), Int(item.modified.nanoseconds))
        archive_entry_set_perm(entry, mode_t(item.permissions))
        archive_entry_set_size(entry, 0)
        switch item.kind {
        case .file(let size):
            archive_entry_set_filetype(entry, S_IFREG)
            archive_entry_set_size(entry, size)
        case .whiteout, .opaqueMarker:
            archive_entry_set_filetype(entry, S_IFREG)
            archive_entry_set_perm(entry, 0)
            archive_entry_set_mtime(entry, 0, 0)
            archive_entry_set_uid(entry, 0)
            archive_entry_set_gid(entry, 0)
        case .directory: archive_entry_set_filetype(entry, S_IFDIR)
        case .symlink(let target):
            archive_entry_set_filetype(entry, S_IFLNK)
            TarWriter.withCString(target) { archive_entry_copy_symlink(entry, $0) }
        case .hardLink(let target):
            archive_entry_set_filetype(entry, S_IFREG)
            TarWriter.withCString(target) { archive_entry_copy_hardlink(entry, $0) }
        case .characterDevice(let number): try describe(item, device: number, S_IFCHR)
        case .blockDevice(let number): try describe(item, device: number, S_IFBLK)
        case .fifo: archive_entry_set_filetype(entry, S_IFIFO)
        }
        for attribute in item.attributes {
            // libarchive would write other names percent-encoded, and pax ends a name at '='.
            let isPlain = attribute.name.utf8.allSatisfy {
                $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: "%")
            }
            guard isPlain else {
                throw invalid(
                    item, "a tar cannot hold the extended attribute '\(FilePath.printable(attribute.name.utf8))'")
            }
            archive_entry_xattr_add_entry(entry, attribute.name, attribute.value, attribute.value.count)
        }
    }

    private func describe(_ item: LayerEntry, device number: DeviceNumber, _ type: mode_t) throws(LayerError) {
        // From 18 bits on libarchive cuts the number in the header and adds a record that only star and itself read.
        guard max(number.major, number.minor) < 1 << 18 else {
            throw invalid(item, "a tar cannot hold the device number \(number.major):\(number.minor)")
        }
        archive_entry_set_filetype(entry, type)
        archive_entry_set_rdevmajor(entry, dev_t(number.major))
        archive_entry_set_rdevminor(entry, dev_t(number.minor))
    }

    private static func isASCII(_ item: LayerEntry) -> Bool {
        func plain(_ bytes: [UInt8]) -> Bool { bytes.allSatisfy { $0 < 0x80 } }
        return switch item.kind {
        case .symlink(let target), .hardLink(let target): plain(item.path) && plain(target)
        default: plain(item.path)
        }
    }

    private static func withCString(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Void) {
        var terminated = ContiguousArray<CChar>()
        terminated.reserveCapacity(bytes.count + 1)
        for byte in bytes { terminated.append(CChar(bitPattern: byte)) }
        terminated.append(0)
        terminated.withUnsafeBufferPointer { buffer in
            if let base = buffer.baseAddress { body(base) }
        }
    }

    // MARK: Failures

    private func invalid(_ item: LayerEntry, _ reason: String) -> LayerError {
        .invalid(layer: name, entry: FilePath.printable(item.path), reason: reason)
    }

    /// Why libarchive failed: the sink's failure if it had one.
    private func failure(on item: LayerEntry?) -> LayerError {
        if let failure = output.failure { return .system(failure) }
        return .invalid(
            layer: name, entry: item.map { FilePath.printable($0.path) }, reason: TarWriter.reason(archive))
    }

    private static func reason(_ archive: OpaquePointer) -> String {
        guard let text = archive_error_string(archive) else { return "libarchive gives no reason" }
        return FilePath.printable(UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }
}
