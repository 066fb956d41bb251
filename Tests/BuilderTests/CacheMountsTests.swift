import Synchronization
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Builder
@testable import Dockerfile

/// Who gets which cache, and when.
@Suite("Cache mounts") struct CacheMountsTests {
    private static let key = CacheMounts.Key(namespace: "", id: "/c", owner: .init(mode: 0o755), origin: [])

    /// Caches in a folder of their own; what they report is kept.
    private final class Site: Sendable {
        let folder: ScratchFolder
        let caches: CacheMounts
        let pool = BlockingPool(width: 2)
        let cancellation = Cancellation()
        let said: Said

        final class Said: Sendable { let lines = Mutex<[String]>([]) }

        init() throws {
            folder = try ScratchFolder()
            let said = Said()
            self.said = said
            caches = CacheMounts(folder: folder.directory, namespace: "", cancellation: cancellation) { event in
                if case .note(let text) = event { said.lines.withLock { $0.append(text) } }
            }
        }

        /// Takes the cache; a new one holds the file `made`.
        func take(_ sharing: RunMount.Sharing, _ key: CacheMounts.Key = CacheMountsTests.key) async throws -> CacheLease
        {
            try await caches.take(key, sharing: sharing, pool: pool) { name, folder in
                try CacheMounts.makeEmpty(name, in: folder, key.owner)
                try folder.makeDirectory(name.appending("made"), mode: 0o700)
            }
        }

        /// Which of the instances a lease has: `0`, `1` ...
        func number(_ lease: CacheLease) -> String? { lease.instance.path.lastComponent?.string }
    }

    @Test("whatever tells caches apart is in the name, and no two keys meet in it")
    func names() {
        typealias Key = CacheMounts.Key
        let owner = RunMount.Owner(mode: 0o755)
        let keys = [
            Key(namespace: "", id: "a", owner: owner, origin: []),
            Key(namespace: "a", id: "", owner: owner, origin: []),
            Key(namespace: "", id: "a", owner: owner, origin: ["b"]),
            Key(namespace: "", id: "a", owner: owner, origin: ["b", ""]),
            Key(namespace: "", id: "a", owner: owner, origin: ["", "b"]),
            Key(namespace: "", id: "a1:b", owner: owner, origin: []),
            Key(namespace: "", id: "a", owner: .init(uid: 1, mode: 0o755), origin: []),
            Key(namespace: "", id: "a", owner: .init(gid: 1, mode: 0o755), origin: []),
            Key(namespace: "", id: "a", owner: .init(mode: 0o700), origin: []),
        ]
        #expect(Set(keys.map(\.name)).count == keys.count)
        #expect(keys.allSatisfy { $0.name.string.count == 64 && $0.name == Key(copying: $0).name })
    }

    @Test("a private cache that is in use leaves the next one to others, and comes back when it is free")
    func privately() async throws {
        let site = try Site()
        var first: CacheLease? = try await site.take(.private)
        let second = try await site.take(.private)
        #expect(first.flatMap(site.number) == "0")
        #expect(site.number(second) == "1")
        first = nil
        #expect(site.number(try await site.take(.private)) == "0")
        #expect(site.said.lines.withLock { $0 } == [])
    }

    @Test("a cache that was given back is free, whoever still knows of it")
    func released() async throws {
        let site = try Site()
        let first = try await site.take(.private)
        first.release()
        #expect(site.number(try await site.take(.private)) == "0")
        withExtendedLifetime(first) {}
    }

    @Test("a shared cache is for several at a time, and is filled once")
    func shared() async throws {
        let site = try Site()
        let first = try await site.take(.shared)
        try site.folder.directory.openDirectory(first.instance.path.lastTwo, .noSymlinks).makeDirectory(
            "contents/kept", mode: 0o700)
        let second = try await site.take(.shared)
        #expect(site.number(first) == "0" && site.number(second) == "0")
        #expect(try second.instance.statusIfPresent(of: "contents/kept") != nil)
        #expect(try second.instance.statusIfPresent(of: "contents/made") != nil)
    }

    @Test(
        "a locked cache waits, saying so, until the other is done; a shared one waits for a locked one",
        arguments: [
            (RunMount.Sharing.locked, RunMount.Sharing.locked), (.locked, .shared), (.shared, .locked),
            (.private, .locked),
        ])
    func locked(held: RunMount.Sharing, wanted: RunMount.Sharing) async throws {
        let site = try Site()
        let holder = Holder(try await site.take(held))
        async let second = site.take(wanted)
        while site.said.lines.withLock({ $0.isEmpty }) { await Task.yield() }
        #expect(site.said.lines.withLock { $0 } == ["waiting for the cache '/c', which another build uses"])
        holder.release()
        #expect(site.number(try await second) == "0")
    }

    @Test("whoever waits hears of an interruption")
    func cancelled() async throws {
        let site = try Site()
        let holder = try await site.take(.locked)
        let second = Task { try await site.take(.locked) }
        while site.said.lines.withLock({ $0.isEmpty }) { await Task.yield() }
        site.cancellation.cancel()
        await #expect(throws: BuildError.self) { _ = try await second.value }
        withExtendedLifetime(holder) {}
    }

    @Test("what a builder left that died while it filled a cache is made anew")
    func unfinished() async throws {
        let site = try Site()
        let place = site.folder.directory.path.appending(Self.key.name.components)
        try site.folder.run("mkdir -p \(place.string)/0/new/half")
        let lease = try await site.take(.locked)
        #expect(try lease.instance.statusIfPresent(of: "contents/made") != nil)
        #expect(try lease.instance.statusIfPresent(of: "contents/half") == nil)
        #expect(try lease.instance.statusIfPresent(of: "new") == nil)
    }

    @Test("an empty cache has its owner and mode", .enabled(if: isRoot))
    func owner() throws {
        let folder = try ScratchFolder()
        try CacheMounts.makeEmpty("c", in: folder.directory, .init(uid: 5, gid: 6, mode: 0o2711))
        #expect(try folder.run("stat -c '%u:%g %a' c") == "5:6 2711\n")
    }

    /// A lease that is given back at a chosen moment.
    private final class Holder: Sendable {
        private let lease: Mutex<CacheLease?>
        init(_ lease: CacheLease) { self.lease = Mutex(lease) }
        func release() { lease.withLock { $0 = nil } }
    }
}

extension CacheMounts.Key {
    fileprivate init(copying key: Self) { self = key }
}

extension FilePath {
    /// The last two components: an instance in its cache's folder.
    fileprivate var lastTwo: FilePath { FilePath(root: nil, components.suffix(2)) }
}
