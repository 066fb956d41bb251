import Layers
import OCI
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Builder

/// What a stack of layers is, is known in three ways: from listings, from stacked trees, and from one flat tree. They are one image,
/// whatever the layers say, and a stack that one way refuses is refused by all.
///
/// The layers are made by chance from few names, so that most entries meet others. The seeds are fixed: always the same layers.
@Suite(.enabled(if: isRoot, "owners of unpacked files need root"))
struct StackAgreementTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    @Test("listings, stacked trees and a flat tree show the same image", arguments: 0..<5)
    func agree(part: Int) throws {
        let state = try StateDirectory(opening: folder.path.appending("state"))
        let scratch = try state.makeScratch()
        let store = BlobStore(state, scratch: scratch)
        let trees = TreeStore(state, scratch: scratch, store: store, cancellation: Cancellation()) { _ in }
        var accepted = 0
        for seed in (part * 60)..<(part * 60 + 60) {
            let layers = Self.layers(seed: UInt64(seed))
            let story = { layers.map { $0.map(Self.line).joined(separator: "\n") }.joined(separator: "\n--\n") }
            let blobs = try layers.map { try Self.store($0, in: store) }
            let ways = [
                Result { try listed(blobs, store) }, Result { try flat(blobs, store, scratch) },
                Result { try stacked(blobs, trees, scratch) },
            ]
            let images = ways.compactMap { try? $0.get() }
            if images.count == ways.count { accepted += 1 }
            let failures = ways.map { way in
                if case .failure(let error) = way { "\(error)" } else { "accepted" }
            }
            #expect(images.isEmpty || images.count == ways.count, "\(seed): \(failures)\n\(story())")
            guard images.count == ways.count else { continue }
            for (name, image) in [("flat", images[1]), ("stacked", images[2])] where image != images[0] {
                let difference = image.difference(from: images[0]).map { change in
                    switch change {
                    case .insert(_, let line, _): "+ \(line)"
                    case .remove(_, let line, _): "- \(line)"
                    }
                }
                Issue.record("\(seed): \(name):\n\(difference.joined(separator: "\n"))\n\(story())")
            }
        }
        #expect(accepted > 12 && accepted < 48, "some are refused, and some are not: \(accepted)")
        try scratch.remove()
    }

    /// Two to four layers. All but the last are sound, if a few tries make them so: most of what chance says is not.
    private static func layers(seed: UInt64) -> [[LayerEntry]] {
        var random = SplitMix(seed: seed)
        var layers: [[LayerEntry]] = []
        var below: [TreeLayer] = []
        for _ in 0...random.below(3) {
            for _ in 0..<20 {
                let entries = RandomLayer.entries(&random)
                let name = Digest(sha256: SHA256.hash([]))
                let lower = below.isEmpty ? nil : UnionTree(layers: below)
                guard let index = try? LayerIndex(LayerListing(diffID: name, entries: entries), on: lower) else {
                    continue
                }
                layers.append(entries)
                below.insert(.entries(index), at: 0)
                break
            }
        }
        return layers + [RandomLayer.entries(&random)]
    }

    // MARK: Three ways

    private func listed(_ layers: [Layer], _ store: BlobStore) throws -> [String] {
        var stack: [TreeLayer] = []
        for layer in layers {
            let listing = try LayerListing(
                reading: store.open(layer.descriptor), compression: .none, expecting: layer.diffID, name: "listed",
                cancellation: Cancellation())
            let lower = stack.isEmpty ? nil : UnionTree(layers: stack)
            stack.insert(.entries(try LayerIndex(listing, on: lower)), at: 0)
        }
        return try Self.lines(UnionTree(layers: stack))
    }

    private func flat(_ layers: [Layer], _ store: BlobStore, _ scratch: Scratch) throws -> [String] {
        let root = try scratch.makeFolder("flat").makeRoot("root")
        for layer in layers {
            _ = try LayerUnpacker.unpack(
                blob: store.open(layer.descriptor), compression: .none, expecting: layer.diffID, name: "flat",
                into: root, convention: .flat, cancellation: Cancellation())
        }
        return try Self.lines(UnionTree(layers: [.plain(root)]))
    }

    private func stacked(_ layers: [Layer], _ trees: TreeStore, _ scratch: Scratch) throws -> [String] {
        for layer in layers { try trees.unpack(layer) }
        let stack = try trees.stack(layers.map { StoredLayer(layer: $0, origin: .store) })
        let repaired = try ImpliedDirectories.repair(stack, in: scratch)
        let roots = (repaired.map { [$0] } ?? []) + stack.reversed().map(\.root)
        return try Self.lines(UnionTree(layers: roots.map { .overlay($0) }))
    }

    /// All that is to be seen, one line each.
    private static func lines(_ tree: UnionTree) throws -> [String] {
        var lines: [String] = []
        var files: [UInt64: Int] = [:]
        try tree.walk(from: []) { node throws(LayerError) in
            let entry = try tree.entry(of: node)
            // Which names are one file, whatever its number is.
            let identity = node.status.device &* 31 &+ node.status.inode
            let file = entry.kind == .directory ? 0 : files[identity] ?? files.count + 1
            files[identity] = file
            lines.append("\(line(entry)) #\(file)")
            return .goOn
        }
        return lines
    }

    private static func line(_ entry: LayerEntry) -> String {
        let kind =
            switch entry.kind {
            case .symlink(let target): "symlink to \(String(decoding: target, as: UTF8.self))"
            case .hardLink(let target): "link to \(String(decoding: target, as: UTF8.self))"
            default: "\(entry.kind)"
            }
        let attributes = entry.attributes.map { "\($0.name)=\(String(decoding: $0.value, as: UTF8.self))" }
        return
            "/\(String(decoding: entry.path, as: UTF8.self)) \(kind) \(String(entry.permissions, radix: 8)) \(entry.uid):\(entry.gid) \(entry.modified.seconds) \(attributes)"
    }

    /// Writes a layer as it is, sound or not, into the store.
    private static func store(_ entries: [LayerEntry], in store: BlobStore) throws -> Layer {
        let file = try store.makeFile()
        let pipeline = CompressionPipeline(.none, threads: 0, file: PipelineFile(try file.descriptor.duplicate()))
        var tar = try TarWriter(into: pipeline, name: "layer", cancellation: Cancellation())
        for entry in entries {
            try tar.writeHeader(entry)
            if case .file(let size) = entry.kind {
                try tar.writeContent(of: entry, [UInt8](repeating: UInt8(ascii: "x"), count: Int(size)))
            }
        }
        let summary = try tar.finish()
        let digest = Digest(sha256: summary.outputHash)
        try store.adopt(file.name, as: digest)
        return Layer(
            descriptor: Descriptor(mediaType: .ociLayer, digest: digest, size: summary.outputSize), diffID: digest)
    }
}

/// Layers by chance.
private enum RandomLayer {
    static func entries(_ random: inout SplitMix) -> [LayerEntry] {
        (0...random.below(9)).map { _ in entry(&random) }
    }

    private static func path(_ random: inout SplitMix) -> [UInt8] {
        // Short ones more often.
        let depth = 1 + min(random.below(3), random.below(3))
        return Array((0..<depth).map { _ in ["a", "b", "c"][random.below(3)] }.joined(separator: "/").utf8)
    }

    private static func entry(_ random: inout SplitMix) -> LayerEntry {
        let links = ["a", "b", "/b", "a/b", "/c/a", "..", "../a", "nowhere/x", "./c/"]
        let kind: LayerEntry.Kind =
            switch random.below(16) {
            case 0...3: .file(size: Int64(random.below(3)))
            case 4...7: .directory
            case 8, 9: .symlink(target: Array(links[random.below(links.count)].utf8))
            case 10, 11: .hardLink(target: path(&random))
            case 12, 13: .whiteout
            case 14: .opaqueMarker
            default: .fifo
            }
        let isOfRoot = random.below(20) == 0 && (kind == .directory || kind == .opaqueMarker)
        var entry = LayerEntry(path: isOfRoot ? [] : path(&random), kind: kind)
        if kind == .whiteout || kind == .opaqueMarker { return entry }
        entry.permissions = [0o755, 0o700, 0o644, 0o2711, 0o1777][random.below(5)]
        (entry.uid, entry.gid) = (UInt32(random.below(3)), UInt32(random.below(3)))
        entry.modified = Timestamp(seconds: Int64(1 + random.below(1_000_000)))
        let mayHaveAttributes = if case .file = kind { true } else { kind == .directory }
        if mayHaveAttributes, random.below(4) == 0 {
            entry.attributes = [
                ExtendedAttribute(name: ["user.a", "user.b"][random.below(2)], value: [UInt8(ascii: "v")])
            ]
        }
        return entry
    }
}
