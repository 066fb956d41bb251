import Glibc
import Layers
import OCI
import SystemIO
import SystemPackage
import TestSupport
import Testing

/// Broken layers, made from sound and hostile ones by chance: always the same, for the seeds are fixed.
///
/// `Tests/Fixtures/layers` is the corpus; a file that once was trouble belongs there.
@Suite struct UnpackerFuzzTests {
    static let corpus: [FilePath] = {
        let folder = Fixtures.programs.appending("layers")
        let names = (try? Directory(opening: folder).names()) ?? []
        return names.filter { $0.string.hasSuffix(".layer") }.sorted { $0.string < $1.string }.map {
            folder.appending($0.components)
        }
    }()

    @Test("whatever a layer says, nothing outside its tree is touched", arguments: corpus)
    func contained(file: FilePath) throws {
        let bench = try Workbench()
        // Beside the tree, where `../` leads, and with a name that links of the corpus know.
        try bench.sh(
            "mkdir -p beside/folder; printf secret > beside/secret; ln beside/secret beside/folder/hard; mkdir tree")
        let facts = "find beside -printf '%p %y %m %U:%G %n %s %T@ %C@\\n' | sort; ls -A"
        let before = try bench.sh(facts)
        let sound = try OwnedDescriptor.open(file, O_RDONLY).readAll(limit: 1 << 20)
        var random = SplitMix(seed: 0x5eed ^ UInt64(sound.count))
        var accepted = 0
        for round in 0..<40 {
            let bytes = round == 0 ? sound : UnpackerFuzzTests.mutate(sound, &random)
            try bench.directory.removeTree("tree")
            let layer = try bench.directory.open(".layer", O_RDWR | O_CREAT | O_TRUNC, mode: 0o600, .noSymlinks)
            try layer.writeAll(bytes)
            do {
                _ = try LayerUnpacker.unpack(
                    blob: layer, compression: .none, expecting: Digest(sha256: SHA256.hash(bytes)), name: "fuzz",
                    into: bench.folder("tree"), convention: round % 2 == 0 ? .flat : .overlay(.trusted),
                    cancellation: Cancellation())
                accepted += 1
            } catch let error as LayerError {
                // The layer is told to be at fault, never the machine.
                #expect(error.blamesLayer, "round \(round): \(error)")
            }
        }
        try bench.directory.removeTree(".layer")
        try bench.directory.removeTree("tree")
        try bench.sh("mkdir tree")
        #expect(try bench.sh(facts) == before)
        #expect(accepted < 40, "nothing was broken")
    }

    @Test("there is a corpus") func corpusIsThere() { #expect(Self.corpus.count >= 6) }

    /// One to four changes: of a byte, of a header's field (its checksum made right again), of length and order.
    static func mutate(_ sound: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var bytes = sound
        for _ in 0...random.below(4) {
            guard bytes.count >= 512 else { break }
            let block = random.below(bytes.count / 512) * 512
            switch random.below(6) {
            case 0: bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            case 1:
                // name, mode, uid, gid, size, time, type, link name, magic, device, prefix
                let fields = [0, 100, 108, 116, 124, 136, 156, 157, 257, 329, 345]
                let start = fields[random.below(fields.count)]
                for _ in 0...random.below(3) {
                    bytes[block + start + random.below(8)] = UInt8(truncatingIfNeeded: random.next())
                }
                seal(&bytes, block)
            case 2:
                let names = ["..", "../beside/secret", "/", "a/../..", ".wh...", "link/x", "/proc/self/cwd/beside"]
                let name = Array(names[random.below(names.count)].utf8) + [0]
                bytes.overwrite(at: block + random.below(2) * 157, with: name)
                seal(&bytes, block)
            case 3:
                bytes[block + 156] = Array("0123456xgLKSV7".utf8)[random.below(14)]
                seal(&bytes, block)
            case 4: bytes.removeLast(random.below(bytes.count / 2))
            default:
                let other = random.below(bytes.count / 512) * 512
                for offset in 0..<512 { bytes.swapAt(block + offset, other + offset) }
            }
        }
        return bytes
    }

    /// Makes the checksum of the header at `block` right: the sum of its bytes, the checksum's own taken as blanks.
    private static func seal(_ bytes: inout [UInt8], _ block: Int) {
        for offset in 148..<156 { bytes[block + offset] = 0x20 }
        let sum = bytes[block..<(block + 512)].reduce(0) { $0 + Int($1) }
        let octal = String(sum, radix: 8)
        let text = String(repeating: "0", count: 6 - octal.count) + octal
        bytes.overwrite(at: block + 148, with: Array(text.utf8) + [0])
    }
}

extension Array<UInt8> {
    /// Writes over what stands at an index, up to the end.
    fileprivate mutating func overwrite(at start: Int, with bytes: [UInt8]) {
        for (offset, byte) in bytes.enumerated() where start + offset < count { self[start + offset] = byte }
    }
}
