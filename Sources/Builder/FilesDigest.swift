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
    /// Tells files that were changed meanwhile: of identities, sizes and times, and the same in any order. Folders do not count,
    /// for a copy to a place of its own has more of them.
    let fingerprint: Int

    static func fingerprint(of plan: LayerPlan) -> Int {
        plan.planned.values.reduce(0) { sum, item in
            switch (item.entry.kind, item.content) {
            case (.directory, _): sum
            case (_, .file(_, let node)): sum &+ node.status.hashValue
            case (let kind, _): sum &+ kind.hashValue
            }
        }
    }
}

/// What is copied or mounted, as far as it is told by the Dockerfile.
struct CopiedPaths: Sendable {
    let words: [Word]
    var excludes: [Word] = []
    var keepsParents = false
    /// Whether a folder itself is seen, and not only what is in it.
    private var showsFolders = false

    /// The file or folder at one path, which is no pattern, for a mount.
    init(path: String, range: SourceRange) {
        showsFolders = true
        let place = ImagePath(cleaning: path)
        words = [Word(place.isRoot ? "." : place.relativeText.escapedForWildcards, range: range)]
    }

    init(_ sources: [FileSource], _ options: FileOptions, keepsParents: Bool = false) {
        words = sources.compactMap { if case .path(let word) = $0 { word } else { nil } }
        excludes = options.excludes
        self.keepsParents = keepsParents
    }

    /// What the words stand for, as far as the plan of a copy does not tell: a file and a folder with a file of that name in it are
    /// laid down alike in a folder, and not at a name of its own.
    fileprivate func kinds(in source: CopyOperation.Source) throws -> [String] {
        guard !keepsParents else { return [] }
        return try words.flatMap { word in
            try source.matches(of: word.text).flatMap { match -> [String] in
                let status = match.node.status
                guard status.kind == .directory else { return [word.text, "file"] }
                guard showsFolders else { return [word.text, "folder"] }
                let owner = source.keepsOwners ? ["\(status.uid)", "\(status.gid)"] : []
                return [word.text, "folder", "\(status.permissions)"] + owner
            }
        }
    }

    fileprivate var texts: [String] {
        ["\(keepsParents)", "\(showsFolders)", "\(words.count)"] + words.map(\.text) + excludes.map(\.text)
    }
}

/// A selection of the files of a context: somebody may change them while a build goes on.
struct FilesOfFolder: Sendable {
    let paths: CopiedPaths
    let source: CopyOperation.Source
    /// As `FilesDigests` names it.
    let place: [String]
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

    /// Whether the files of folders are still those that their digest is of, as far as their status tells.
    ///
    /// - Parameter fingerprint: that of a copy of them; `nil` to look at them once more.
    func areUnchanged(_ files: FilesOfFolder, copied fingerprint: Int? = nil) async -> Bool {
        guard let known = known.withLock({ $0[files.place + files.paths.texts] }) ?? nil else { return true }
        if let fingerprint { return fingerprint == known.fingerprint }
        return await pool.run {
            (try? FilesDigests.plan(files.paths, files.source)).map(FilesDigest.fingerprint) == known.fingerprint
        }
    }

    private func make(_ paths: CopiedPaths, _ source: CopyOperation.Source) async throws -> FilesDigest? {
        let found = await pool.run {
            try? (plan: FilesDigests.plan(paths, source), kinds: paths.kinds(in: source))
        }
        guard let found else { return nil }
        return try await digest(of: found.plan, kinds: found.kinds, areOthers: !source.keepsOwners)
    }

    /// The digest of what is planned; `nil` for files that cannot be read.
    ///
    /// - Parameter areOthers: whether somebody besides the builder may change the files.
    private func digest(of plan: LayerPlan, kinds: [String], areOthers: Bool) async throws -> FilesDigest? {
        let items = plan.ordered()
        guard let contents = try await contents(of: items, areOthers: areOthers) else { return nil }
        var hash = FramedHash()
        hash.add(kinds)
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

    // MARK: Contents

    /// A stretch of a file that one thread reads. Large files have several, so that all cores have something to do: their digest is that of
    /// the digests of their stretches, and depends on nothing but their bytes.
    private struct Stretch: Sendable {
        let item: Int
        let offset: Int64
        let length: Int64

        /// Bytes of all stretches but the last of a file.
        static let size: Int64 = 32 << 20
    }

    /// Hands out numbers, each once.
    private final class Turns: Sendable {
        private let next = Mutex(0)
        func take() -> Int {
            next.withLock { next in
                defer { next += 1 }
                return next
            }
        }
    }

    /// The digest of each item's bytes, where it has any; `nil` for files that cannot be read.
    private func contents(of items: [LayerPlan.Planned], areOthers: Bool) async throws -> [Digest?]? {
        var stretches: [Stretch] = []
        for (index, item) in items.enumerated() {
            guard case .file(_, let node) = item.content else { continue }
            for offset in stride(from: Int64(0), to: max(1, node.status.size), by: Int(Stretch.size)) {
                let length = min(Stretch.size, node.status.size - offset)
                stretches.append(Stretch(item: index, offset: offset, length: length))
            }
        }
        let (turns, cancellation) = (Turns(), self.cancellation)
        let found = try await withThrowingTaskGroup(of: [Int: Digest]?.self) { [pool, stretches] group in
            for _ in 0..<min(width, stretches.count) {
                group.addTask {
                    try await pool.run { () throws(any Error) in
                        try FilesDigests.read(items, stretches, turns, cancellation, areOthers: areOthers)
                    }
                }
            }
            var found: [Int: Digest]? = [:]
            for try await part in group {
                if let part { found?.merge(part) { $1 } } else { found = nil }
            }
            return found
        }
        guard let found else { return nil }
        var parts: [Int: [Digest]] = [:]
        for (number, stretch) in stretches.enumerated() {
            guard let digest = found[number] else { return nil }
            parts[stretch.item, default: []].append(digest)
        }
        var contents: [Digest?] = []
        for (index, item) in items.enumerated() {
            switch item.content {
            case .none: contents.append(nil)
            case .bytes(let bytes): contents.append(Digest(sha256: SHA256.hash(bytes)))
            case .file:
                let digests = parts[index] ?? []
                guard digests.count > 1 else {
                    contents.append(digests.first)
                    continue
                }
                var hash = FramedHash()
                hash.add(["stretches"] + digests.map(\.description))
                contents.append(hash.finish())
            case .packed(let place):
                // A file of a layer that is not unpacked: the layer and the place in it say which bytes these are.
                contents.append(Digest(sha256: SHA256.hash(Array("\(place.diffID) \(place.entry)".utf8))))
            case .stretch: return nil
            }
        }
        return contents
    }

    /// Bytes that are read at once.
    private static let chunk = 256 << 10

    /// Reads stretches until none is left.
    private static func read(
        _ items: [LayerPlan.Planned], _ stretches: [Stretch], _ turns: Turns, _ cancellation: Cancellation,
        areOthers: Bool
    ) throws -> [Int: Digest]? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 16)
        defer { buffer.deallocate() }
        var digests: [Int: Digest] = [:]
        while true {
            let number = turns.take()
            guard number < stretches.count else { return digests }
            if cancellation.isCancelled { throw BuildError("the build was interrupted") }
            let stretch = stretches[number]
            guard case .file(let tree, let node) = items[stretch.item].content, let file = try? tree.open(node) else {
                return nil
            }
            var hasher = SHA256()
            var done: Int64 = 0
            while done < stretch.length {
                let rest = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[..<min(chunk, Int(stretch.length - done))])
                guard let count = try? file.read(into: rest, at: stretch.offset + done), count > 0 else { return nil }
                hasher.update(UnsafeRawBufferPointer(rebasing: rest[..<count]))
                done += Int64(count)
            }
            // Somebody may be copying the files at the same time: the digest has to be of those that were planned.
            if areOthers {
                guard (try? file.status().changed) == node.status.changed else { return nil }
            }
            digests[number] = Digest(sha256: hasher.finish())
        }
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
