/// A place in the text of a Dockerfile.
///
/// `line` and `column` count from 1; `column` counts the UTF-8 bytes of the physical line.
package struct SourcePosition: Hashable, Comparable, Sendable {
    package var line: Int
    package var column: Int

    package init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    package static func < (left: SourcePosition, right: SourcePosition) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }
}

/// The characters from `start` up to, not including, `end`. It may span physical lines.
package struct SourceRange: Hashable, Sendable {
    package var start: SourcePosition
    package var end: SourcePosition

    package init(start: SourcePosition, end: SourcePosition) {
        self.start = start
        self.end = end
    }

    /// The columns `columns` (from 1, end not included) of one line.
    package init(line: Int, columns: Range<Int> = 1..<1) {
        self.start = SourcePosition(line: line, column: columns.lowerBound)
        self.end = SourcePosition(line: line, column: columns.upperBound)
    }
}

/// A piece of an instruction, with the place it was written at.
///
/// `text` is as written until an instruction is expanded; `range` stays that of the written text.
package struct Word: Hashable, Sendable {
    package var text: String
    package var range: SourceRange

    package init(_ text: String, range: SourceRange) {
        self.text = text
        self.range = range
    }
}
