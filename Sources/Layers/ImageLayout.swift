// https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md

import FoundationEssentials
import Glibc
package import OCI
package import SystemIO
package import SystemPackage

/// A folder that holds images as an OCI layout: `oci-layout`, `index.json`, `blobs/sha256/<hex>`.
///
/// What is read is taken as hostile: nothing is reached but by names made from digests, no symlink is followed,
/// and documents are bounded and verified.
package struct ImageLayout: Sendable {
    private let directory: Directory
    private let label: String

    /// Largest documents that are read, bytes. Registries refuse manifests of more than 4 MiB.
    package static let manifestLimit = 4 * 1024 * 1024
    package static let configLimit = 8 * 1024 * 1024

    /// Opens a layout for reading.
    package init(opening path: FilePath) throws(LayerError) {
        try self.init(
            try layerCall { () throws(SystemError) in try Directory(opening: path) }, name: path.printable)
    }

    /// The layout in an open folder, for reading.
    ///
    /// - Parameter name: what people call it.
    package init(_ directory: Directory, name: String) throws(LayerError) {
        self.directory = directory
        label = "OCI layout '\(name)'"
        try checkMarker()
    }

    /// Opens a layout for writing; makes the folder and an empty layout where there is none yet.
    package init(creating path: FilePath) throws(LayerError) {
        let directory = try layerCall { () throws(SystemError) in try Directory(creating: path) }
        self.directory = directory
        label = "OCI layout '\(path.printable)'"
        let isNew = try layerCall { () throws(SystemError) in
            try directory.statusIfPresent(of: FilePath(LayoutName.marker)) == nil
        }
        if isNew { try publish(LayoutName.markerContent, as: FilePath(LayoutName.marker)) }
        try checkMarker()
    }

    private struct Marker: Decodable {
        let imageLayoutVersion: String
    }

    private func checkMarker() throws(LayerError) {
        let bytes = try read(FilePath(LayoutName.marker), limit: 4096)
        let marker = try decode(Marker.self, bytes, LayoutName.marker)
        guard marker.imageLayoutVersion.hasPrefix("1.") else {
            throw invalid(
                "its version is '\(FilePath.printable(marker.imageLayoutVersion.utf8.prefix(40)))', expected 1.0.0")
        }
    }

    // MARK: Reading

    /// The images that the layout names.
    package func index() throws(LayerError) -> ImageIndex {
        try decode(
            ImageIndex.self, try read(FilePath(LayoutName.index), limit: ImageLayout.manifestLimit), LayoutName.index)
    }

    /// The manifest or index of one image: by its tag; without one the image `latest`, or the only one.
    package func find(tag: String?) throws(LayerError) -> Descriptor {
        let manifests = try index().manifests
        func named(_ name: String) -> Descriptor? {
            manifests.first { $0.annotations?[LayoutAnnotation.referenceName] == name }
        }
        if let tag {
            if let found = named(tag) { return found }
            throw invalid("it has no image '\(FilePath.printable(tag.utf8))'\(ImageLayout.offer(manifests))")
        }
        if let found = named("latest") { return found }
        guard let only = manifests.first, Set(manifests.map(\.digest)).count == 1 else {
            throw invalid(
                manifests.isEmpty ? "it has no image" : "it has several images: name one\(ImageLayout.offer(manifests))"
            )
        }
        return only
    }

    /// The manifest or index with `digest`, if the layout names it.
    package func find(digest: Digest) throws(LayerError) -> Descriptor {
        let manifests = try index().manifests
        guard let found = manifests.first(where: { $0.digest == digest }) else {
            throw invalid("it has no image \(digest)\(ImageLayout.offer(manifests))")
        }
        return found
    }

    private static func offer(_ manifests: [Descriptor]) -> String {
        let names = Set(manifests.compactMap { $0.annotations?[LayoutAnnotation.referenceName] }).sorted()
        guard !names.isEmpty else { return "; its images have digests only" }
        let shown = names.prefix(20).map { "'\(FilePath.printable($0.utf8.prefix(128)))'" }.joined(separator: ", ")
        return "; it has \(shown)" + (names.count > 20 ? " and \(names.count - 20) more" : "")
    }

    /// Reads a manifest, index or config whole, with its size and digest verified.
    ///
    /// - Parameter limit: bytes; a document that says it is longer is an error, and none of it is read.
    package func document(_ descriptor: Descriptor, limit: Int = manifestLimit) throws(LayerError) -> [UInt8] {
        guard descriptor.size <= limit else {
            throw invalid("the document \(descriptor.digest) has \(descriptor.size) bytes; at most \(limit) are read")
        }
        let file = try openBlob(descriptor)
        let bytes = try layerCall { () throws(SystemError) in try file.readAll(limit: limit) }
        let actual = Digest(sha256: SHA256.hash(bytes))
        guard actual == descriptor.digest else {
            throw .digestMismatch(expected: "\(descriptor.digest)", actual: "\(actual)")
        }
        return bytes
    }

    /// Opens a blob for reading. Its size is checked; its digest is the reader's to verify.
    package func openBlob(_ descriptor: Descriptor) throws(LayerError) -> OwnedDescriptor {
        let file = try openRegular(FilePath(LayoutName.blob(descriptor.digest)))
        let size = try layerCall { () throws(SystemError) in try file.status() }.size
        guard size == descriptor.size else {
            throw invalid("the blob \(descriptor.digest) has \(size) bytes, expected \(descriptor.size)")
        }
        return file
    }

    /// Whether a blob is there, with the size that its descriptor says.
    ///
    /// - Throws: `invalid` for one of another size.
    package func has(_ descriptor: Descriptor) throws(LayerError) -> Bool {
        do throws(LayerError) {
            _ = try openBlob(descriptor)
            return true
        } catch {
            guard case .system(let cause) = error, cause.errno == .noSuchFileOrDirectory else { throw error }
            return false
        }
    }

    // MARK: Writing

    /// Stores an image and names it.
    ///
    /// An image that had the same tag loses it. The index changes at once and last, under a lock, so that other writers and
    /// readers see a sound layout at any moment.
    /// - Parameter tag: without one the image is found by its digest only.
    package func write(_ image: LocalImage, tag: String?, cancellation: Cancellation) throws(LayerError) {
        let blobs = try layerCall { () throws(SystemError) in try makeBlobFolder() }
        for layer in image.distinctLayers {
            if try isWritten(layer) { continue }
            try copy(try image.openBlob(layer), as: layer, into: blobs, cancellation)
        }
        try publish(image.configBytes, as: FilePath(image.manifest.config.digest.hex), in: blobs)
        try publish(image.manifestBytes, as: FilePath(image.descriptor.digest.hex), in: blobs)
        var named = image.descriptor
        if let tag {
            named.annotations = (named.annotations ?? [:]).merging([LayoutAnnotation.referenceName: tag]) { $1 }
        }
        try addToIndex(named)
    }

    private func makeBlobFolder() throws(SystemError) -> Directory {
        var folder = directory
        for name in FilePath(LayoutName.blobs).components {
            let path = FilePath(root: nil, [name])
            do throws(SystemError) {
                try folder.makeDirectory(path, mode: 0o755)
            } catch  where error.errno == .fileExists {}
            folder = try folder.openDirectory(path, .noSymlinks)
        }
        return folder
    }

    /// One that is cut off or foreign is written again.
    private func isWritten(_ descriptor: Descriptor) throws(LayerError) -> Bool {
        do throws(LayerError) { return try has(descriptor) } catch .invalid { return false }
    }

    private func copy(
        _ source: borrowing OwnedDescriptor, as descriptor: Descriptor, into blobs: Directory,
        _ cancellation: Cancellation
    ) throws(LayerError) {
        let target = try layerCall { () throws(SystemError) in
            try AtomicFile(FilePath(descriptor.digest.hex), in: blobs)
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024 * 1024, alignment: 64)
        defer { buffer.deallocate() }
        var hash = SHA256()
        var offset: Int64 = 0
        while true {
            guard !cancellation.isCancelled else { throw .cancelled }
            let count: Int
            do throws(SystemError) {
                count = try source.read(into: buffer, at: offset)
                let piece = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                hash.update(piece)
                try target.writeAll(piece)
            } catch { throw .system(error) }
            guard count > 0 else { break }
            offset += Int64(count)
        }
        let actual = Digest(sha256: hash.finish())
        guard actual == descriptor.digest else {
            throw .digestMismatch(expected: "\(descriptor.digest)", actual: "\(actual)")
        }
        do throws(SystemError) { try target.publish() } catch { throw .system(error) }
    }

    private func addToIndex(_ descriptor: Descriptor) throws(LayerError) {
        // The lock of the open folder ends with it, or with the process.
        let locked = try layerCall { () throws(SystemError) in try directory.reopened() }
        while flock(locked.descriptor.raw, LOCK_EX) != 0 {
            guard errno == EINTR else { throw .system(.last("flock", directory.path)) }
        }
        defer { _ = flock(locked.descriptor.raw, LOCK_UN) }
        let exists = try layerCall { () throws(SystemError) in
            try directory.statusIfPresent(of: FilePath(LayoutName.index)) != nil
        }
        var index = exists ? try index() : ImageIndex(manifests: [])
        let name = descriptor.annotations?[LayoutAnnotation.referenceName]
        index.manifests.removeAll { other in
            let otherName = other.annotations?[LayoutAnnotation.referenceName]
            return otherName == name && (name != nil || other.digest == descriptor.digest)
        }
        index.manifests.append(descriptor)
        try publish(try ImageArchive.encode(index, label: label), as: FilePath(LayoutName.index))
    }

    private func publish(_ bytes: [UInt8], as name: FilePath, in folder: Directory? = nil) throws(LayerError) {
        do throws(SystemError) {
            let file = try AtomicFile(name, in: folder ?? directory)
            try file.writeAll(bytes)
            try file.publish()
        } catch { throw .system(error) }
    }

    // MARK: Parts

    private func openRegular(_ path: FilePath) throws(LayerError) -> OwnedDescriptor {
        // O_NONBLOCK: a pipe planted there must not hang the open.
        let file = try layerCall { () throws(SystemError) in
            try directory.open(path, O_RDONLY | O_NONBLOCK, .noSymlinks)
        }
        guard try layerCall({ () throws(SystemError) in try file.status() }).kind == .file else {
            throw invalid("'\(path.printable)' is not a regular file")
        }
        return file
    }

    private func read(_ path: FilePath, limit: Int) throws(LayerError) -> [UInt8] {
        let file = try openRegular(path)
        return try layerCall { () throws(SystemError) in try file.readAll(limit: limit) }
    }

    private func decode<T: Decodable>(_ type: T.Type, _ bytes: [UInt8], _ name: String) throws(LayerError) -> T {
        do throws(OCIError) {
            return try CanonicalJSON.decode(type, from: Data(bytes), name: name)
        } catch { throw invalid(error.message) }
    }

    private func invalid(_ reason: String) -> LayerError {
        .invalid(layer: label, entry: nil, reason: reason)
    }
}

extension ImageLayout {
    /// An image in a layout as people write it: `PATH`, `PATH:TAG` or `PATH@sha256:HEX`.
    ///
    /// The path ends at its first colon or at `@sha256:`, as in skopeo's `oci:` names.
    package struct Location: Sendable, Hashable {
        package let path: FilePath
        package let tag: String?
        package let digest: Digest?

        package init(parsing text: String) throws(OCIError) {
            if let at = text.lastIndex(of: "@"), text[at...].hasPrefix("@sha256:") {
                path = FilePath(String(text[..<at]))
                tag = nil
                digest = try Digest(parsing: text[text.index(after: at)...])
            } else {
                let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                path = FilePath(String(parts[0]))
                tag = parts.count == 2 ? String(parts[1]) : nil
                digest = nil
            }
            guard !path.isEmpty else { throw OCIError("an OCI layout needs a path: PATH, PATH:TAG or PATH@sha256:HEX") }
            guard tag != "" else { throw OCIError("the tag after '\(path.printable):' is empty") }
        }
    }

    /// The image that a location means.
    package func find(_ location: Location) throws(LayerError) -> Descriptor {
        if let digest = location.digest { return try find(digest: digest) }
        return try find(tag: location.tag)
    }
}
