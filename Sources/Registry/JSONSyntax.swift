// https://www.rfc-editor.org/rfc/rfc8259

/// Finds the place where a text stops being JSON, which the decoder does not tell.
struct JSONSyntax {
    private let bytes: [UInt8]
    private var index = 0

    /// Line and column, from 1, of the first byte that cannot stand where it does; `nil` when the text is JSON.
    static func firstError(in bytes: [UInt8]) -> (line: Int, column: Int)? {
        var scanner = JSONSyntax(bytes: bytes)
        if scanner.value(depth: 0) {
            scanner.skipSpace()
            if scanner.index == bytes.count { return nil }
        }
        let before = bytes[..<min(scanner.index, bytes.count)]
        let line = before.count { $0 == 0x0a } + 1
        let lineStart = before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
        return (line, before.count - lineStart + 1)
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Deeper nesting is refused, as the decoder does.
    private static let depthLimit = 500

    private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func skipSpace() {
        while let byte = peek, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { index += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func value(depth: Int) -> Bool {
        guard depth < JSONSyntax.depthLimit else { return false }
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): return list(closedBy: "}", depth: depth, isObject: true)
        case UInt8(ascii: "["): return list(closedBy: "]", depth: depth, isObject: false)
        case UInt8(ascii: "\""): return string()
        default: return word()
        }
    }

    private mutating func list(closedBy close: Unicode.Scalar, depth: Int, isObject: Bool) -> Bool {
        index += 1
        skipSpace()
        if take(close) { return true }
        while true {
            if isObject {
                skipSpace()
                guard string() else { return false }
                skipSpace()
                guard take(":") else { return false }
            }
            guard value(depth: depth + 1) else { return false }
            skipSpace()
            if take(close) { return true }
            guard take(",") else { return false }
        }
    }

    private mutating func string() -> Bool {
        guard take("\"") else { return false }
        while let byte = peek, byte >= 0x20 {
            index += 1
            if byte == UInt8(ascii: "\"") { return true }
            if byte == UInt8(ascii: "\\") {
                guard let escaped = peek, "\"\\/bfnrtu".utf8.contains(escaped) else { return false }
                index += 1
            }
        }
        return false
    }

    /// A number, `true`, `false` or `null`.
    private mutating func word() -> Bool {
        let start = index
        while let byte = peek, "+-.0123456789abcdefghijklmnopqrstuvwxyzE".utf8.contains(byte) { index += 1 }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        if ["true", "false", "null"].contains(text) { return true }
        if text.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/) != nil { return true }
        index = start
        return false
    }
}
