import Glibc
import Synchronization
import SystemIO
import SystemPackage
import TestSupport
import Testing

@Suite struct CompressionPipelineTests {
    /// Text-like and random stretches, the same in every run.
    static func sample(_ count: Int) -> [UInt8] {
        var state: UInt64 = 42
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            if bytes.count / 300_000 % 3 == 2 {
                bytes.append(UInt8(truncatingIfNeeded: state >> 33))
            } else {
                bytes += Array("line \(state >> 54) of /usr/share/doc\n".utf8)
            }
        }
        return Array(bytes[..<count])
    }

    func compress(
        _ input: [UInt8], _ format: CompressionPipeline.Format = .gzip, threads: Int, piece: Int, to name: FilePath,
        in scratch: ScratchFolder
    ) throws -> CompressionPipeline.Summary {
        let file = PipelineFile(try scratch.create(name))
        var pipeline = CompressionPipeline(format, threads: threads, file: file)
        var rest = input[...]
        while !rest.isEmpty {
            try pipeline.append(Array(rest.prefix(piece)))
            rest = rest.dropFirst(piece)
        }
        let summary = try pipeline.finish()
        try file.close()
        return summary
    }

    static let mebibyte = 1024 * 1024

    @Test(
        "gzip reads back what was written, and the bytes do not depend on threads or pieces",
        arguments: [0, 1, 1000, mebibyte - 1, mebibyte, mebibyte + 1, 5 * mebibyte + 12345])
    func roundTrip(size: Int) throws {
        let scratch = try ScratchFolder()
        let input = Self.sample(size)
        try scratch.write("input", input)
        var first: CompressionPipeline.Summary?
        for (threads, piece) in [(0, 1_000_000), (1, 77_777), (2, 1 << 20), (5, 3 << 20)] {
            let summary = try compress(input, threads: threads, piece: piece, to: "out.gz", in: scratch)
            try scratch.run("gzip -t out.gz && zcat out.gz | cmp - input")
            #expect(summary.inputHash == SHA256.hash(input))
            #expect(summary.inputSize == Int64(size))
            let output = try scratch.read("out.gz")
            #expect(summary.outputHash == SHA256.hash(output))
            #expect(summary.outputSize == Int64(output.count))
            #expect(first == nil || first == summary, "\(threads) threads, pieces of \(piece)")
            first = summary
            // One member: a reader that stops at the first one gets everything.
            let members = """
                import zlib; d=zlib.decompressobj(31); o=d.decompress(open('out.gz','rb').read()); print(len(o), len(d.unused_data))
                """
            #expect(try scratch.run("python3 -c \"\(members)\"") == "\(size) 0\n")
        }
    }

    @Test(
        "with a level: gzip and zstd read back what was written, whatever the threads",
        arguments: [CompressionPipeline.Format.gzip(level: 1), .gzip(level: 9), .zstd(level: 1), .zstd(level: 19)])
    func levels(format: CompressionPipeline.Format) throws {
        let scratch = try ScratchFolder()
        for size in [0, 1, Self.mebibyte, 3 * Self.mebibyte + 12345] {
            let input = Self.sample(size)
            try scratch.write("input", input)
            var first: CompressionPipeline.Summary?
            for (threads, piece) in [(0, 1_000_000), (3, 77_777)] {
                let summary = try compress(input, format, threads: threads, piece: piece, to: "out", in: scratch)
                let program = if case .zstd = format { "zstd" } else { "gzip" }
                try scratch.run("\(program) -q -dc < out | cmp - input")
                #expect(summary.outputHash == SHA256.hash(try scratch.read("out")))
                #expect(first == nil || first == summary, "\(size) bytes, \(threads) threads")
                first = summary
            }
        }
    }

    @Test(
        "a higher level is smaller",
        arguments: [[CompressionPipeline.Format.gzip, .gzip(level: 9)], [.zstd(level: 1), .zstd(level: 19)]])
    func smaller(formats: [CompressionPipeline.Format]) throws {
        let scratch = try ScratchFolder()
        let input = Self.sample(2 * Self.mebibyte)
        let sizes = try formats.map {
            try compress(input, $0, threads: 1, piece: 1 << 20, to: "out", in: scratch).outputSize
        }
        #expect(sizes[1] < sizes[0])
    }

    @Test("data that does not shrink grows by less than one part in a thousand")
    func incompressible() throws {
        let scratch = try ScratchFolder()
        try scratch.run("\(noise); noise 3333333 > input")
        let input = try scratch.read("input")
        for format in [CompressionPipeline.Format.gzip, .gzip(level: 6), .zstd(level: 3)] {
            let summary = try compress(input, format, threads: 2, piece: 1 << 20, to: "out", in: scratch)
            try scratch.run("(zcat out 2>/dev/null || zstd -dc < out) | cmp - input")
            #expect(summary.outputSize < 3_333_333 + 3333, "\(format)")
        }
    }

    @Test("without compression the output is the input", arguments: [0, 1, 3])
    func plain(threads: Int) throws {
        let scratch = try ScratchFolder()
        let input = Self.sample(3 * Self.mebibyte + 5)
        try scratch.write("input", input)
        let summary = try compress(input, .none, threads: threads, piece: 99_999, to: "out", in: scratch)
        try scratch.run("cmp out input")
        #expect(summary.outputHash == SHA256.hash(input))
        #expect(summary.outputHash == summary.inputHash)
        #expect(summary.outputSize == Int64(input.count))
    }

    @Test("bytes put straight into the free space are the same as appended ones")
    func inPlace() throws {
        let scratch = try ScratchFolder()
        let input = Self.sample(2 * Self.mebibyte + 7)
        try scratch.write("input", input)
        let source = try scratch.open("input")
        let file = PipelineFile(try scratch.create("out.gz"))
        var pipeline = CompressionPipeline(.gzip, threads: 2, file: file)
        while true {
            let count = try source.read(into: pipeline.freeSpace)
            guard count > 0 else { break }
            try pipeline.commit(count)
        }
        let summary = try pipeline.finish()
        #expect(summary == (try compress(input, threads: 0, piece: 500, to: "other.gz", in: scratch)))
    }

    /// What the sink holds lives as long as the pipeline and its threads do.
    final class Token: Sendable {
        let calls = Mutex(0)
    }

    /// A thread lets go of the pipeline a moment after its last work.
    func expectEnd(of token: () -> Token?) {
        for _ in 0..<6000 where token() != nil { usleep(10_000) }
        #expect(token() == nil, "threads of the pipeline still run")
    }

    @Test("a full disk reaches the producer as ENOSPC, and the threads end", arguments: [0, 1, 4])
    func fullDisk(threads: Int) throws {
        weak var token: Token?
        func fill() throws {
            let held = Token()
            token = held
            let disk = try OwnedDescriptor.open("/dev/full", O_WRONLY)
            let number = disk.raw
            var pipeline: CompressionPipeline?
            pipeline = CompressionPipeline(.gzip, threads: threads) { [held] bytes throws(SystemError) in
                held.calls.withLock { $0 += 1 }
                guard write(number, bytes.baseAddress, bytes.count) >= 0 else { throw .last("write") }
            }
            let block = Self.sample(Self.mebibyte)
            let failed = #expect(throws: SystemError.self) {
                for _ in 0..<100 { try pipeline?.append(block) }
            }
            #expect(failed?.errno == .noSpace)
            // The failure stays: nothing may follow what is missing.
            #expect(throws: SystemError.self) { try pipeline?.append(block) }
            #expect(throws: SystemError.self) { _ = try pipeline.take()?.finish() }
            #expect(held.calls.withLock { $0 } == 1)
            try disk.close()
        }
        try fill()
        expectEnd { token }
    }

    @Test("a full disk on the last block is seen by finish", arguments: [0, 2])
    func fullDiskAtTheEnd(threads: Int) throws {
        let file = PipelineFile(try OwnedDescriptor.open("/dev/full", O_WRONLY))
        var pipeline: CompressionPipeline? = CompressionPipeline(.gzip, threads: threads, file: file)
        try pipeline?.append([1, 2, 3])
        let failed = #expect(throws: SystemError.self) { _ = try pipeline.take()?.finish() }
        #expect(failed?.errno == .noSpace)
    }

    @Test("a pipeline dropped half-way ends its threads and writes no more", arguments: [0, 3])
    func dropped(threads: Int) throws {
        weak var token: Token?
        func abandon() throws {
            let held = Token()
            token = held
            var pipeline = CompressionPipeline(.gzip, threads: threads) { [held] _ throws(SystemError) in
                held.calls.withLock { $0 += 1 }
            }
            try pipeline.append(Self.sample(3 * Self.mebibyte))
        }
        try abandon()
        expectEnd { token }
    }
}
