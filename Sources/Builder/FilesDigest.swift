import Dockerfile
import Glibc
import Layers
import OCI
import Synchronization
import SystemIO

/// What the files are that a COPY would lay down: names, kinds, modes, owners, links, attributes and contents. Times do not
/// count, since a checkout gives every file a new one.
struct FilesDigest: Sendable, Hashable {
    let digest: Digest
    /// Tells files that were changed meanwhile: of identities, sizes and times, and the same in any order.
    let fingerprint: Int

    static func fingerprint(of plan: LayerPlan) -> Int {
        plan.planned.values.reduce(0) { sum, item in
            guard case .file(_, let node) = item.content else { return sum }
            return sum &+ node.status.hashValue
        }
    }
}

/// What is copied or mounted, as far as it is told by the Dockerfile.
struct CopiedPaths: Sendable {
    let words: [Word]
    var excludes: [Word] = []
    var keepsParents = false

    /// The file or folder at one path, which is no pattern.
    init(path: String, range: SourceRange) {
        let place = ImagePath(cleaning: path)
        words = [Word(place.isRoot ? "." : place.relativeText.escapedForWildcards, range: range)]
    }

    init(_ sources: [FileSource], _ options: FileOptions, keepsParents: Bool = false) {
        words = sources.compactMap { if case .path(let word) = $0 { word } else { nil } }
        excludes = options.excludes
        self.keepsParents = keepsParents
    }

    fileprivate var texts: [String] {
        ["\(keepsParents)", "\(words.count)"] + words.map(\.text) + excludes.map(\.text)
    }
}

/// Reads the files that steps depend on, each selection once in a build.
final class FilesDigests: Sendable {
    private let pool: BlockingPool
    private let width: Int
    private let cancellation: Cancellation
    private let known = Mutex<[[String]: FilesDigest?]>([:])

    /// - Parameter width: files that are read at the same time.
    init(pool: BlockingPool, width: Int, cancellation: Cancellation) {
        self.pool = pool
        self.width = max(1, width)
        self.cancellation = cancellation
    }

    /// - Parameter place: a name for the source that no other source of the build has.
    /// - Returns: `nil` if they cannot be copied; the step that does will say why.
    func digest(
        of paths: CopiedPaths, in source: CopyOperation.Source, named place: [String]
    ) async throws -> FilesDigest? {
        let name = place + paths.texts
        if let known = known.withLock({ $0[name] }) { return known }
        let digest = try await make(paths, source)
        known.withLock { $0[name] = .some(digest) }
        return digest
    }

    private func make(_ paths: CopiedPaths, _ source: CopyOperation.Source) async throws -> FilesDigest? {
        let plan = await pool.run { try? FilesDigests.plan(paths, source) }
        guard let plan else { return nil }
        return try await digest(of: plan)
    }

    /// The digest of what is planned; `nil` for files that cannot be read.
    func digest(of plan: LayerPlan) async throws -> FilesDigest? {
        let items = plan.ordered()
        let (width, cancellation) = (min(self.width, items.count), self.cancellation)
        let contents = try await withThrowingTaskGroup(of: [(Int, Digest)]?.self) { [pool] group in
            for first in 0..<width {
                group.addTask {
                    try await pool.run { () throws(any Error) in
                        try FilesDigests.read(
                            items, indices: stride(from: first, to: items.count, by: width), cancellation)
                    }
                }
            }
            var contents: [Digest?] = Array(repeating: nil, count: items.count)
            for try await part in group {
                guard let part else { return [Digest?]?.none }
                for (index, digest) in part { contents[index] = digest }
            }
            return contents
        }
        guard let contents else { return nil }
        var hash = FramedHash()
        for (item, content) in zip(items, contents) { hash.add(item.entry, content) }
        return FilesDigest(digest: hash.finish(), fingerprint: FilesDigest.fingerprint(of: plan))
    }

    /// A copy into an empty image: what is there plays no part.
    private static func plan(_ paths: CopiedPaths, _ source: CopyOperation.Source) throws -> LayerPlan {
        var operation = CopyOperation(
            on: UnionTree(layers: []), destination: .init("/", workingDirectory: "/", isDirectory: true),
            options: .init(owner: nil, mode: nil, excluded: try IgnorePatterns(excluding: paths.excludes)),
            time: Timestamp(seconds: 0))
        for word in paths.words {
            if paths.keepsParents {
                try operation.copyWithParents(word, from: source)
            } else {
                try operation.copy(word, from: source)
            }
        }
        return operation.plan
    }

    /// Bytes that are read at once.
    private static let chunk = 256 << 10

    private static func read(
        _ items: [LayerPlan.Planned], indices: StrideTo<Int>, _ cancellation: Cancellation
    ) throws -> [(Int, Digest)]? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 16)
        defer { buffer.deallocate() }
        var digests: [(Int, Digest)] = []
        for index in indices {
            if cancellation.isCancelled { throw BuildError("the build was interrupted") }
            switch items[index].content {
            case .none: continue
            case .bytes(let bytes): digests.append((index, Digest(sha256: SHA256.hash(bytes))))
            case .file(let tree, let node):
                guard let file = try? tree.open(node) else { return nil }
                var hasher = SHA256()
                while true {
                    guard let count = try? file.read(into: buffer) else { return nil }
                    if count == 0 { break }
                    hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                }
                digests.append((index, Digest(sha256: hasher.finish())))
            case .packed(let place):
                // A file of a layer that is not unpacked: the layer and the place in it say which bytes these are.
                digests.append((index, Digest(sha256: SHA256.hash(Array("\(place.diffID) \(place.entry)".utf8)))))
            case .stretch: return nil
            }
        }
        return digests
    }
}

extension FramedHash {
    /// All that an entry is but its time.
    fileprivate mutating func add(_ entry: LayerEntry, _ content: Digest?) {
        add(entry.path)
        switch entry.kind {
        case .file(let size):
            add("file")
            add(size)
        case .directory: add("directory")
        case .symlink(let target):
            add("symlink")
            add(target)
        case .hardLink(let target):
            add("link")
            add(target)
        case .characterDevice(let number): add(["character", "\(number.major)", "\(number.minor)"])
        case .blockDevice(let number): add(["block", "\(number.major)", "\(number.minor)"])
        case .fifo: add("fifo")
        case .whiteout: add("whiteout")
        case .opaqueMarker: add("opaque")
        }
        add(Int64(entry.permissions))
        add(Int64(entry.uid))
        add(Int64(entry.gid))
        add(Int64(entry.attributes.count))
        for attribute in entry.attributes {
            add(attribute.name)
            add(attribute.value)
        }
        add(content?.description ?? "")
    }
}
