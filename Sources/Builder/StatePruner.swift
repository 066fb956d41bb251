import Glibc
package import SystemIO
package import SystemPackage

/// Takes out of a state folder what has not been used for long, or is more than it may hold.
///
/// Builds may be at work: nothing is taken that one of them has used since it began. What is taken is gone for all builds at
/// once, by a rename, and removed afterwards; a pruning that dies in between leaves scratch, which the next build removes.
package struct StatePruner {
    /// What is to go. What any of the rules names goes.
    package struct Policy: Sendable, Hashable {
        /// What was last used before this.
        package var unusedSince: Timestamp?
        /// What was used longest ago, until no more than this many bytes are left.
        package var keptBytes: Int64?
        package var all: Bool

        package init(unusedSince: Timestamp? = nil, keptBytes: Int64? = nil, all: Bool = false) {
            self.unusedSince = unusedSince
            self.keptBytes = keptBytes
            self.all = all
        }
    }

    package struct Item: Sendable, Hashable {
        package enum Kind: String, Sendable, Hashable {
            case blob, step, index, tree, cache
            /// What a build that died has left.
            case scratch
        }

        package let kind: Kind
        package let name: String
        /// Bytes of its files; those that several trees share are counted for one of them.
        package let bytes: Int64
        package let lastUsed: Timestamp
        fileprivate let folder: FilePath
        fileprivate let entry: FilePath
    }

    package struct Report: Sendable, Hashable {
        /// What was taken, or would be; the least recently used first.
        package var freed: [Item] = []
        package var kept: [Item] = []
        /// What is among `kept` only because builds are using it now.
        package var inUse = 0

        package var freedBytes: Int64 { freed.reduce(0) { $0 + $1.bytes } }
        package var keptBytes: Int64 { kept.reduce(0) { $0 + $1.bytes } }
    }

    private let policy: Policy
    private let path: FilePath

    package init(_ path: FilePath, policy: Policy) {
        self.path = path
        self.policy = policy
    }

    /// What `prune` would do now. Nothing is changed; a state folder that is not there is empty.
    package func plan() throws -> Report {
        guard let root = try openIfPresent() else { return Report() }
        return try choose(from: items(in: root), oldestBuild: StateDirectory.oldestBuild(in: root))
    }

    /// Frees what the policy names. After a failure some of it may be gone; what is left is whole.
    package func prune() throws -> Report {
        guard let root = try openIfPresent() else { return Report() }
        let found = try items(in: root)
        let state = try StateDirectory(opening: path)
        let scratch = try state.makeScratch()
        defer { try? scratch.remove() }
        let report = try state.whileNobodyLooks { () throws(any Error) -> Report in
            // Looked at again under the lock: a build that began meanwhile has marked what it uses.
            let oldest = try state.oldestBuild(but: scratch)
            var report = try choose(from: found.compactMap { try $0.refreshed(in: root) }, oldestBuild: oldest)
            for (index, item) in report.freed.enumerated().reversed() {
                if try !take(item, from: root, to: FilePath("pruned-\(index)"), in: scratch) {
                    report.kept.append(report.freed.remove(at: index))
                    report.inUse += 1
                }
            }
            return report
        }
        try scratch.remove()
        return report
    }

    private func openIfPresent() throws -> Directory? {
        do throws(SystemError) { return try Directory(opening: path) } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            return nil
        }
    }

    private func choose(from items: [Item], oldestBuild: Timestamp?) throws -> Report {
        var report = Report()
        let total = items.reduce(0) { $0 + $1.bytes }
        for item in items.sorted(by: { $0.lastUsed < $1.lastUsed }) {
            let isTooMuch = policy.keptBytes.map { total - report.freedBytes > $0 } ?? false
            let isOld = policy.unusedSince.map { item.lastUsed < $0 } ?? false
            guard policy.all || isTooMuch || isOld || item.kind == .scratch else {
                report.kept.append(item)
                continue
            }
            if let oldestBuild, item.lastUsed >= oldestBuild {
                report.kept.append(item)
                report.inUse += 1
            } else {
                report.freed.append(item)
            }
        }
        return report
    }

    /// Renames an item into the scratch folder.
    ///
    /// - Returns: whether it could be had.
    private func take(_ item: Item, from root: Directory, to name: FilePath, in scratch: Scratch) throws -> Bool {
        // Opening the state folder has removed it.
        guard item.kind != .scratch else { return true }
        let folder = try root.openDirectory(item.folder, .noSymlinks)
        if item.kind == .cache {
            guard flock(folder.descriptor.raw, LOCK_EX | LOCK_NB) == 0 else { return false }
        }
        do throws(SystemError) { try folder.rename(item.entry, to: name, in: scratch.folder) } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
        }
        return true
    }

    // MARK: What there is

    private func items(in root: Directory) throws -> [Item] {
        var items: [Item] = []
        var known: Set<UInt64> = []
        func add(_ kind: Item.Kind, _ name: String, _ folder: FilePath, _ entry: FilePath, used: Timestamp) throws {
            guard let parent = try? root.openDirectory(folder, .noSymlinks) else { return }
            // What goes away meanwhile is not ours to count.
            let bytes = (try? parent.bytes(below: entry, known: &known)) ?? 0
            items.append(Item(kind: kind, name: name, bytes: bytes, lastUsed: used, folder: folder, entry: entry))
        }
        let blobs: FilePath = "blobs/sha256"
        for (name, status) in try entries(of: blobs, in: root) {
            try add(.blob, "sha256:\(name)", blobs, name, used: status.modified)
        }
        for (name, status) in try entries(of: "steps", in: root) {
            try add(.step, name.string, "steps", name, used: status.modified)
        }
        for (name, status) in try entries(of: "indices", in: root) {
            try add(.index, "sha256:\(name)", "indices", name, used: status.modified)
        }
        for top in try root.names().sorted(by: { $0.string < $1.string }) {
            if top == "trees" || top.string.hasPrefix("trees-") {
                for (name, status) in try entries(of: top, in: root) {
                    try add(.tree, name.string, top, name, used: status.modified)
                }
            } else if top == "mounts" || top.string.hasPrefix("mounts-") {
                for (key, _) in try entries(of: top, in: root) {
                    let place = top.appending(key.components)
                    for (number, status) in try entries(of: place, in: root) {
                        let instance = place.appending(number.components)
                        let contents = CacheLease.contents
                        guard try root.openDirectory(instance, .noSymlinks).statusIfPresent(of: contents) != nil
                        else { continue }
                        try add(
                            .cache, "\(key.string.prefix(12))/\(number)", instance, contents, used: status.modified)
                    }
                }
            }
        }
        for (name, status) in try entries(of: "work", in: root) {
            guard let folder = try? root.openDirectory(FilePath("work").appending(name.components), .noSymlinks),
                flock(folder.descriptor.raw, LOCK_EX | LOCK_NB) == 0
            else { continue }
            try add(.scratch, name.string, "work", name, used: status.modified)
        }
        return items
    }

    private func entries(of path: FilePath, in root: Directory) throws -> [(name: FilePath, status: FileStatus)] {
        let folder: Directory
        do throws(SystemError) { folder = try root.openDirectory(path, .noSymlinks) } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            return []
        }
        return try folder.names().compactMap { name in try folder.statusIfPresent(of: name).map { (name, $0) } }
    }
}

extension StatePruner.Item {
    /// The same item as it is used now; `nil` if it is gone.
    fileprivate func refreshed(in root: Directory) throws -> StatePruner.Item? {
        guard kind != .scratch else { return self }
        guard let parent = try? root.openDirectory(folder, .noSymlinks),
            let status = try parent.statusIfPresent(of: entry)
        else { return nil }
        // A cache's use is told by the folder around its contents.
        let used = kind == .cache ? try parent.descriptor.status().modified : status.modified
        return StatePruner.Item(
            kind: kind, name: name, bytes: bytes, lastUsed: used, folder: folder, entry: entry)
    }
}

extension Directory {
    /// Bytes of all files below a name, of one with several names only where its inode is not in `known`.
    fileprivate func bytes(below name: FilePath, known: inout Set<UInt64>) throws(SystemError) -> Int64 {
        guard let status = try statusIfPresent(of: name) else { return 0 }
        guard status.kind == .directory else { return status.size }
        var total: Int64 = 0
        var descent = FolderDescent(from: try openDirectory(name, .noSymlinks))
        var stack = [try descent.current.sortedNames()]
        while let next = stack.last?.last {
            stack[stack.count - 1].removeLast()
            if let status = try descent.current.statusIfPresent(ofName: next.bytes) {
                if status.kind == .directory {
                    try descent.enter(named: next.bytes)
                    stack.append(try descent.current.sortedNames())
                } else if status.linkCount == 1 || known.insert(status.inode).inserted {
                    total += status.size
                }
            }
            while stack.last?.isEmpty == true {
                stack.removeLast()
                try descent.leave()
            }
        }
        return total
    }
}
