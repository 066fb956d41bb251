import Glibc
package import SystemPackage

/// A call to the kernel or to libc that failed: which call, on what, and why.
package struct SystemError: Error, Sendable, Hashable {
    /// The name of the call, as `openat2`.
    package let call: String
    /// What the call was made on, when it has a name.
    package let path: FilePath?
    package let errno: Errno

    package init(call: String, path: FilePath? = nil, errno: Errno) {
        self.call = call
        self.path = path
        self.errno = errno
    }

    /// The failure that `errno` tells of now: make it right after the call.
    package static func last(_ call: String, _ path: FilePath? = nil) -> SystemError {
        SystemError(call: call, path: path, errno: Errno(rawValue: Glibc.errno))
    }
}

extension SystemError: CustomStringConvertible {
    package var description: String {
        let text = String(cString: strerror(errno.rawValue))
        guard let path else { return "\(call): \(text)" }
        return "\(call) '\(path.printable)': \(text)"
    }
}

extension FilePath {
    /// The path for people: bytes that are no UTF-8 and control characters are escaped.
    package var printable: String {
        withCString { bytes in
            FilePath.printable(UnsafeRawBufferPointer(start: bytes, count: strlen(bytes)))
        }
    }

    /// Any file name for people: bytes that are no UTF-8 and control characters become `\xNN`.
    package static func printable(_ bytes: some Sequence<UInt8>) -> String {
        var decoder = UTF8()
        var text = ""
        // Decode strictly where the whole is UTF-8, byte by byte where it is not.
        let raw = Array(bytes)
        var iterator = raw.makeIterator()
        var valid = true
        while valid {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar) where scalar.value >= 0x20 && scalar.value != 0x7f:
                text.unicodeScalars.append(scalar)
            case .scalarValue(let scalar): text += escape(UInt8(truncatingIfNeeded: scalar.value))
            case .emptyInput: return text
            case .error: valid = false
            }
        }
        return raw.reduce(into: "") { out, byte in
            if (0x20..<0x7f).contains(byte) { out.append(Character(Unicode.Scalar(byte))) } else { out += escape(byte) }
        }
    }

    private static func escape(_ byte: UInt8) -> String {
        let hex = String(byte, radix: 16)
        return "\\x" + (hex.count == 1 ? "0" : "") + hex
    }

    /// A path from bytes that hold no NUL.
    package init(bytes: some Collection<UInt8>) {
        var terminated = bytes.map { CChar(bitPattern: $0) }
        terminated.append(0)
        self = terminated.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return FilePath() }
            return FilePath(platformString: base)
        }
    }

    /// The bytes of the path, without the closing NUL.
    package var bytes: [UInt8] {
        withCString { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
    }
}
