/// The JSON form of an instruction's arguments: one array, of which strings are wanted (RFC 8259).
enum JSONArray {
    struct Element {
        /// `nil` for anything but a string.
        var string: String?
        var offsets: Range<Int>
    }

    /// Deeper arrays and objects are no JSON form that anybody writes; the bound keeps the stack small.
    private static let maximumDepth = 64

    /// The elements of the array that `text` is as a whole; `nil` if it is no valid JSON array.
    static func parse(_ text: ArraySlice<UInt8>) -> [Element]? {
        var scanner = Scanner(text: text, index: text.startIndex)
        scanner.skipBlanks()
        guard scanner.take("[") else { return nil }
        var elements: [Element] = []
        scanner.skipBlanks()
        if !scanner.take("]") {
            repeat {
                scanner.skipBlanks()
                let start = scanner.index
                if scanner.peek == .doubleQuote {
                    guard let string = scanner.string() else { return nil }
                    elements.append(Element(string: string, offsets: start..<scanner.index))
                } else {
                    guard scanner.value(depth: 1) else { return nil }
                    elements.append(Element(string: nil, offsets: start..<scanner.index))
                }
                scanner.skipBlanks()
            } while scanner.take(",")
            guard scanner.take("]") else { return nil }
        }
        scanner.skipBlanks()
        return scanner.peek == nil ? elements : nil
    }

    private struct Scanner {
        let text: ArraySlice<UInt8>
        var index: Int

        var peek: UInt8? { index < text.endIndex ? text[index] : nil }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard peek == UInt8(ascii: character) else { return false }
            index += 1
            return true
        }

        mutating func skipBlanks() {
            while let byte = peek, [.space, .tab, .newline, .carriageReturn].contains(byte) { index += 1 }
        }

        /// Any value, only checked. Returns whether it is valid.
        mutating func value(depth: Int) -> Bool {
            guard depth < maximumDepth else { return false }
            switch peek {
            case .doubleQuote: return string() != nil
            case UInt8(ascii: "["): return list(closedBy: "]", depth: depth, hasKeys: false)
            case UInt8(ascii: "{"): return list(closedBy: "}", depth: depth, hasKeys: true)
            default:
                for literal in ["true", "false", "null"] where text[index...].starts(with: literal.utf8) {
                    index += literal.utf8.count
                    return true
                }
                return number()
            }
        }

        private mutating func list(closedBy end: Unicode.Scalar, depth: Int, hasKeys: Bool) -> Bool {
            index += 1
            skipBlanks()
            if take(end) { return true }
            repeat {
                skipBlanks()
                if hasKeys {
                    guard peek == .doubleQuote, string() != nil else { return false }
                    skipBlanks()
                    guard take(":") else { return false }
                    skipBlanks()
                }
                guard value(depth: depth + 1) else { return false }
                skipBlanks()
            } while take(",")
            return take(end)
        }

        private mutating func number() -> Bool {
            _ = take("-")
            if !take("0") { guard digits() else { return false } }
            if take(".") { guard digits() else { return false } }
            if take("e") || take("E") {
                if !take("+") { _ = take("-") }
                guard digits() else { return false }
            }
            return true
        }

        private mutating func digits() -> Bool {
            let start = index
            while let byte = peek, byte.isDigit { index += 1 }
            return index > start
        }

        /// The string that starts here; `nil` if it is not valid.
        mutating func string() -> String? {
            index += 1
            var bytes: [UInt8] = []
            while let byte = peek {
                index += 1
                switch byte {
                case .doubleQuote: return String(decoding: bytes, as: UTF8.self)
                case .backslash: guard escape(into: &bytes) else { return nil }
                case 0..<0x20: return nil
                default: bytes.append(byte)
                }
            }
            return nil
        }

        private mutating func escape(into bytes: inout [UInt8]) -> Bool {
            guard let byte = peek else { return false }
            index += 1
            switch byte {
            case .doubleQuote, .backslash, .slash: bytes.append(byte)
            case UInt8(ascii: "b"): bytes.append(0x08)
            case UInt8(ascii: "f"): bytes.append(0x0C)
            case UInt8(ascii: "n"): bytes.append(.newline)
            case UInt8(ascii: "r"): bytes.append(.carriageReturn)
            case UInt8(ascii: "t"): bytes.append(.tab)
            case UInt8(ascii: "u"):
                guard var code = hexadecimal() else { return false }
                // Two escapes may make one character; half a pair alone is replaced, as Go does.
                if (0xD800..<0xDC00).contains(code), text[index...].starts(with: [.backslash, UInt8(ascii: "u")]) {
                    let behind = index
                    index += 2
                    guard let low = hexadecimal() else { return false }
                    if (0xDC00..<0xE000).contains(low) {
                        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
                    } else {
                        index = behind
                    }
                }
                bytes += Array(String(Character(Unicode.Scalar(code) ?? "\u{FFFD}")).utf8)
            default: return false
            }
            return true
        }

        private mutating func hexadecimal() -> UInt32? {
            let digits = text[index...].prefix(4)
            guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }) else { return nil }
            index += 4
            return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        }
    }
}
