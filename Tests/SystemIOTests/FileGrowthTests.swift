import Glibc
import SystemIO
import SystemPackage
import TestSupport
import Testing

/// A file that is read while it is written.
@Suite("Files that grow") struct FileGrowthTests {
    /// All that a stream gives, and its hash.
    private func drain(_ stream: HashedStream) throws(Decompressor.Failure) -> (bytes: [UInt8], digest: [UInt8]) {
        var bytes: [UInt8] = []
        while let chunk = try stream.next() { bytes += chunk }
        return (bytes, stream.digest)
    }

    @Test(
        "a compressed file is read to its end while it is written, whatever the pieces", arguments: [1, 4096, 100_000])
    func readWhileWritten(piece: Int) throws {
        let scratch = try ScratchFolder()
        // Small pieces of a small file, large ones of a large one.
        let plain = CompressionPipelineTests.sample(min(2_000_000, piece * 3000))
        try scratch.write("plain", plain)
        try scratch.run("gzip -k plain")
        let compressed = try scratch.read("plain.gz")
        let file = try scratch.create("arriving.gz")
        let growth = FileGrowth()
        let stream = HashedStream(try file.duplicate(), format: .gzip, growth: growth)
        let target = file.release()
        BlockingPool.detach {
            let file = OwnedDescriptor(taking: target)
            var offset = 0
            while offset < compressed.count {
                let count = min(piece, compressed.count - offset)
                try? file.writeAll(Array(compressed[offset..<(offset + count)]))
                offset += count
                growth.advance(to: Int64(offset))
            }
            growth.end(isSound: true)
        }
        let result = try drain(stream)
        #expect(result.bytes == plain)
        #expect(result.digest == SHA256.hash(plain))
    }

    @Test("the end of a file is seen only when its writer says that it is sound", arguments: [true, false])
    func endOfTheFile(startsAnew: Bool) throws {
        let scratch = try ScratchFolder()
        try scratch.write("whole", [UInt8](repeating: 7, count: 100_000))
        let growth = FileGrowth()
        let stream = HashedStream(try scratch.open("whole"), format: .none, growth: growth)
        growth.advance(to: 100_000)
        #expect(try stream.next()?.count == 100_000)
        // All bytes were read, and they are void all the same.
        if startsAnew { growth.advance(to: 0) }
        growth.end(isSound: startsAnew)
        #expect(throws: Decompressor.Failure.system(SystemError(call: "read", errno: Errno(rawValue: ESTALE)))) {
            try stream.next()
        }
    }
}
