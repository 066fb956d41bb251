/// The value of `--chmod`: octal, or symbolic as chmod(1) takes it, without a umask.
package enum FileMode: Hashable, Sendable {
    /// At most 0o7777.
    case octal(UInt16)
    case symbolic([Change])

    /// One `who` `op` `permissions`: `u=rwX` gives one, `u=rw+x` two.
    package struct Change: Hashable, Sendable {
        package enum Operation: Hashable, Sendable { case add, remove, set }

        /// The bits that may change: those of user, group and others, each with its special bit.
        var affected: UInt16
        var operation: Operation
        /// Bits for all three classes and the special bits.
        var bits: UInt16 = 0
        /// `X`: execute for directories, and for what somebody may execute already.
        var executesConditionally = false
        /// `u`, `g` or `o` on the right side: how far that class lies from the right, in bits.
        var copiedFrom: UInt16?
    }

    /// - Throws: if the word is neither octal up to 7777 nor symbolic.
    package init(parsing word: Word) throws(DockerfileError) {
        if !word.text.isEmpty, word.text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }) {
            if let value = UInt16(word.text, radix: 8), value <= 0o7777 {
                self = .octal(value)
                return
            }
        } else if let changes = Self.changes(word.text) {
            self = .symbolic(changes)
            return
        }
        throw DockerfileError(
            "--chmod: '\(word.text)' is no mode", at: word.range, hint: "write 755, 0644 or u=rwX,go=rX")
    }

    /// The mode of an entry that has `mode` (its lower twelve bits) after the change.
    package func apply(to mode: UInt16, isDirectory: Bool) -> UInt16 {
        switch self {
        case .octal(let value): return value
        case .symbolic(let changes):
            return changes.reduce(mode & 0o7777) { $1.apply(to: $0, isDirectory: isDirectory) }
        }
    }

    private static func changes(_ text: String) -> [Change]? {
        var result: [Change] = []
        for clause in text.split(separator: ",", omittingEmptySubsequences: false) {
            var rest = Array(clause.utf8)[...]
            var affected: UInt16 = 0
            while let byte = rest.first, let bits = who(byte) {
                affected |= bits
                rest.removeFirst()
            }
            if affected == 0 { affected = 0o7777 }
            guard !rest.isEmpty else { return nil }
            while let byte = rest.first {
                guard let operation = operation(byte) else { return nil }
                rest.removeFirst()
                guard let change = takeChange(&rest, affected, operation) else { return nil }
                result.append(change)
            }
        }
        return result
    }

    private static func takeChange(
        _ rest: inout ArraySlice<UInt8>, _ affected: UInt16, _ operation: Change.Operation
    ) -> Change? {
        var change = Change(affected: affected, operation: operation)
        let right = rest.prefix { self.operation($0) == nil }
        rest = rest.dropFirst(right.count)
        for byte in right {
            switch byte {
            case UInt8(ascii: "r"): change.bits |= 0o444
            case UInt8(ascii: "w"): change.bits |= 0o222
            case UInt8(ascii: "x"): change.bits |= 0o111
            case UInt8(ascii: "s"): change.bits |= 0o6000
            case UInt8(ascii: "t"): change.bits |= 0o1000
            case UInt8(ascii: "X"): change.executesConditionally = true
            case UInt8(ascii: "u"), UInt8(ascii: "g"), UInt8(ascii: "o"):
                // A class is copied alone: `u=g`, not `u=gx`.
                guard right.count == 1 else { return nil }
                change.copiedFrom = byte == UInt8(ascii: "u") ? 6 : byte == UInt8(ascii: "g") ? 3 : 0
            default: return nil
            }
        }
        return change
    }

    private static func who(_ byte: UInt8) -> UInt16? {
        switch byte {
        case UInt8(ascii: "u"): 0o4700
        case UInt8(ascii: "g"): 0o2070
        case UInt8(ascii: "o"): 0o1007
        case UInt8(ascii: "a"): 0o7777
        default: nil
        }
    }

    private static func operation(_ byte: UInt8) -> Change.Operation? {
        switch byte {
        case UInt8(ascii: "+"): .add
        case UInt8(ascii: "-"): .remove
        case UInt8(ascii: "="): .set
        default: nil
        }
    }
}

extension FileMode.Change {
    fileprivate func apply(to mode: UInt16, isDirectory: Bool) -> UInt16 {
        var bits = bits
        if executesConditionally, isDirectory || mode & 0o111 != 0 { bits |= 0o111 }
        if let copiedFrom { bits = (mode >> copiedFrom & 0o7) * 0o111 }
        bits &= affected
        switch operation {
        case .add: return mode | bits
        case .remove: return mode & ~bits
        case .set: return mode & ~affected | bits
        }
    }
}
