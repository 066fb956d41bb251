/// An instruction's text with its continuations joined, and the way back to the physical lines.
struct LogicalLine: Sendable {
    /// A run of bytes that stands in one physical line.
    private struct Segment: Sendable {
        var offset: Int
        var start: SourcePosition
    }

    private(set) var bytes: [UInt8] = []
    private var segments: [Segment] = []
    /// The place of everything in this line, if the text does not stand in the Dockerfile (an ONBUILD trigger).
    private let fixedRange: SourceRange?

    init(fixedRange: SourceRange?) {
        self.fixedRange = fixedRange
    }

    mutating func append(_ text: ArraySlice<UInt8>, at start: SourcePosition) {
        segments.append(Segment(offset: bytes.count, start: start))
        bytes += text
    }

    func position(at offset: Int) -> SourcePosition {
        var low = 0
        var high = segments.count
        // The last segment that starts at or before the offset.
        while high - low > 1 {
            let middle = (low + high) / 2
            if segments[middle].offset <= offset { low = middle } else { high = middle }
        }
        guard low < segments.count else { return SourcePosition(line: 1, column: 1) }
        let segment = segments[low]
        return SourcePosition(line: segment.start.line, column: segment.start.column + offset - segment.offset)
    }

    func range(_ offsets: Range<Int>) -> SourceRange {
        if let fixedRange { return fixedRange }
        let start = position(at: offsets.lowerBound)
        guard !offsets.isEmpty else { return SourceRange(start: start, end: start) }
        // The end is that of the last byte, so that it stays in the line of the text and not in the one after.
        var end = position(at: offsets.upperBound - 1)
        end.column += 1
        return SourceRange(start: start, end: end)
    }

    func text(_ offsets: Range<Int>) -> String {
        String(decoding: bytes[offsets], as: UTF8.self)
    }

    /// The word that stands at `offsets`, as written.
    func word(_ offsets: Range<Int>) -> Word {
        Word(text(offsets), range: range(offsets))
    }

    /// `offsets` without blanks at both ends.
    func trimmed(_ offsets: Range<Int>) -> Range<Int> {
        var start = offsets.lowerBound
        var end = offsets.upperBound
        while start < end, bytes[start].isBlank { start += 1 }
        while end > start, bytes[end - 1].isBlank { end -= 1 }
        return start..<end
    }
}
