// parts ideal FILE            what the steps of the layer pipeline cost one after the other, each alone, in ns a byte
// parts gzip THREADS FILE     FILE through the layer pipeline into FILE.out; 0 threads: all on one
// parts zstd THREADS FILE     likewise
// parts walk FOLDER           the view of a tree that COPY uses, every name of it
//
// Prints one line of figures. Time and memory are measured by whoever calls.

import Glibc
import Layers
import SystemIO
import SystemPackage

func fail(_ text: String) -> Never {
    let bytes = Array((text + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
    exit(64)
}

/// Seconds of processor time of this process.
func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func compress(_ path: FilePath, _ format: CompressionPipeline.Format, threads: Int) throws {
    let source = try OwnedDescriptor.open(path, O_RDONLY)
    let target = PipelineFile(
        try OwnedDescriptor.open(FilePath(path.string + ".out"), O_WRONLY | O_CREAT | O_TRUNC))
    var pipeline = CompressionPipeline(format, threads: threads, file: target)
    while true {
        let count = try source.read(into: pipeline.freeSpace)
        guard count > 0 else { break }
        try pipeline.commit(count)
    }
    let summary = try pipeline.finish()
    try target.close()
    print(summary.inputSize, summary.outputSize)
}

/// Sum and parts: reading, SHA-256 of what comes in, CRC-32, deflate, SHA-256 of what comes out, writing.
func measureIdeal(_ path: FilePath) throws {
    let source = try OwnedDescriptor.open(path, O_RDONLY)
    let target = try OwnedDescriptor.open(FilePath(path.string + ".out"), O_WRONLY | O_CREAT | O_TRUNC)
    let size = 1 << 20
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    let output = UnsafeMutableRawBufferPointer.allocate(byteCount: size + size / 8, alignment: 64)
    var encoder = GzipBlockEncoder()
    var inner = SHA256()
    var outer = SHA256()
    var crc: UInt32 = 0
    var total = 0
    var seconds = [Double](repeating: 0, count: 6)
    func timed<R>(_ part: Int, _ body: () throws -> R) rethrows -> R {
        let start = processorTime()
        defer { seconds[part] += processorTime() - start }
        return try body()
    }
    while true {
        let count = try timed(0) { try source.read(into: block) }
        guard count > 0 else { break }
        let input = UnsafeRawBufferPointer(rebasing: block[..<count])
        let start = processorTime()
        inner.update(input)
        seconds[1] += processorTime() - start
        crc = timed(2) { GzipBlockEncoder.crc32(crc, input) }
        let middle = processorTime()
        let made = encoder.encode(input, after: UnsafeRawBufferPointer(start: nil, count: 0), into: output)
        seconds[3] += processorTime() - middle
        let compressed = UnsafeRawBufferPointer(rebasing: output[..<made])
        let late = processorTime()
        outer.update(compressed)
        seconds[4] += processorTime() - late
        try timed(5) { try target.writeAll(compressed) }
        total += count
    }
    print(total, seconds.reduce(0, +), seconds.map { "\($0)" }.joined(separator: " "))
}

func walk(_ path: FilePath) throws {
    var count = 0
    try UnionTree(layers: [.plain(try Directory(opening: path))]).walk(from: []) { _ in
        count += 1
        return .goOn
    }
    print(count)
}

let words = CommandLine.arguments
switch (words.dropFirst().first, words.count) {
case ("ideal", 3): try measureIdeal(FilePath(words[2]))
case ("gzip", 4): try compress(FilePath(words[3]), .gzip, threads: Int(words[2]) ?? 0)
case ("zstd", 4): try compress(FilePath(words[3]), .zstd(level: 3), threads: Int(words[2]) ?? 0)
case ("walk", 3): try walk(FilePath(words[2]))
default: fail("usage: parts ideal FILE | gzip THREADS FILE | zstd THREADS FILE | walk FOLDER")
}
