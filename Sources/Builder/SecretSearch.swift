import Glibc
import Layers
import SystemIO

/// Looks for the values of secrets in files that are about to leave this machine.
struct SecretSearch {
    /// Bytes: shorter values are in files by chance.
    private static let shortest = 8
    /// Bytes that are read at once.
    private static let chunk = 1 << 20

    private let values: [[UInt8]]

    /// Programs leave out the line end that a file of a secret has.
    init(_ secrets: BuildSecrets) {
        values = secrets.all.map { bytes in
            Array(bytes.reversed().drop { [0x0a, 0x0d, 0x20].contains($0) }.reversed())
        }.filter { $0.count >= SecretSearch.shortest }
    }

    /// The first planned file that holds one. What is compressed or encoded is not looked into.
    func find(in plan: LayerPlan, _ cancellation: Cancellation) throws -> ImagePath? {
        let longest = values.map(\.count).max() ?? 0
        guard longest > 0 else { return nil }
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: longest + SecretSearch.chunk, alignment: 16)
        defer { buffer.deallocate() }
        for item in plan.planned.values {
            guard case .file(let tree, let node) = item.content else { continue }
            if cancellation.isCancelled { throw BuildError("the build was interrupted") }
            if try isIn(tree.open(node), buffer, longest) { return ImagePath(trusting: item.entry.path) }
        }
        return nil
    }

    private func isIn(
        _ file: consuming OwnedDescriptor, _ buffer: UnsafeMutableRawBufferPointer, _ longest: Int
    ) throws -> Bool {
        /// What is left of the bytes before, in which a value may begin.
        var kept = 0
        while true {
            let count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[kept...]))
            guard count > 0 else { return false }
            let end = kept + count
            guard let start = buffer.baseAddress else { return false }
            for value in values where memmem(start, end, value, value.count) != nil { return true }
            kept = min(end, longest - 1)
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[(end - kept)..<end]))
        }
    }
}
