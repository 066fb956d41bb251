// https://www.rfc-editor.org/rfc/rfc3986

/// An absolute `http` or `https` address, kept byte for byte where a server signed it.
///
/// A value of this type is always safe to send: printable ASCII only, no user information, no fragment.
package struct HTTPURL: Hashable, Sendable {
    package enum Scheme: String, Sendable {
        case http, https

        /// The port that need not be written.
        package var defaultPort: UInt16 { self == .http ? 80 : 443 }
    }

    package let scheme: Scheme
    /// Lower case; an IPv6 address is in brackets.
    package let host: String
    package let port: UInt16
    /// Path and query as they are sent, starting with a slash.
    package let target: String

    private init(scheme: Scheme, host: String, port: UInt16, target: String) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.target = target
    }

    /// Makes an address on a registry.
    ///
    /// - Parameter authority: `host` or `host:port`, as in an image reference.
    package init?(scheme: Scheme, authority: String, target: String) {
        self.init(parsing: "\(scheme.rawValue)://\(authority)\(target)")
    }

    /// Reads an absolute address; `nil` for other schemes, user information, and characters no address may have.
    package init?(parsing text: String) {
        guard text.utf8.count <= HTTPURL.lengthLimit, text.utf8.allSatisfy(HTTPURL.mayStandInURL) else { return nil }
        guard let (scheme, after) = HTTPURL.splitScheme(text) else { return nil }
        let rest = after.prefix { $0 != "#" }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        var target = String(rest[authority.endIndex...])
        if target.isEmpty || target.first == "?" { target = "/" + target }
        guard let (host, port) = HTTPURL.splitAuthority(authority) else { return nil }
        self.init(scheme: scheme, host: host, port: port ?? scheme.defaultPort, target: target)
    }

    /// Longer addresses are refused: presigned storage addresses have about 2 KiB.
    private static let lengthLimit = 16 * 1024  // bytes

    /// Scheme, host and port: what decides whether a secret may go along.
    package var origin: String { "\(scheme.rawValue)://\(host):\(port)" }

    /// `host` or `host:port` where the port is not the usual one.
    package var authority: String { port == scheme.defaultPort ? host : "\(host):\(port)" }

    /// The path without the query.
    package var path: Substring { target.prefix { $0 != "?" } }

    /// The whole address, with all its secrets: for the wire only.
    package var text: String { "\(scheme.rawValue)://\(authority)\(target)" }

    /// Adds `name=value` to the query and leaves what is there as it is.
    package func addingQuery(_ name: String, _ value: String) -> HTTPURL {
        let separator = target.contains("?") ? (target.hasSuffix("?") || target.hasSuffix("&") ? "" : "&") : "?"
        let pair = "\(HTTPURL.percentEncoded(name))=\(HTTPURL.percentEncoded(value))"
        return HTTPURL(scheme: scheme, host: host, port: port, target: target + separator + pair)
    }

    /// Resolves a `Location` or `realm` against this address; `nil` when it is no `http` or `https` address.
    ///
    /// Registries also send `host/path` without a scheme: this is taken so when the host is our own.
    package func resolving(_ reference: String) -> HTTPURL? {
        guard !reference.isEmpty else { return nil }
        if reference.hasPrefix("//") { return HTTPURL(parsing: "\(scheme.rawValue):\(reference)") }
        let base = "\(scheme.rawValue)://\(authority)"
        if reference.hasPrefix("/") { return HTTPURL(parsing: base + reference) }
        if reference.hasPrefix("?") { return HTTPURL(parsing: base + path + reference) }
        let first = reference.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        if first.lowercased() == authority { return HTTPURL(parsing: "\(scheme.rawValue)://\(reference)") }
        if let colon = first.firstIndex(of: ":"), HTTPURL.isSchemeName(first[..<colon]) {
            return HTTPURL(parsing: reference)
        }
        var segments = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().map(String.init)
        let relative = reference.prefix { $0 != "?" && $0 != "#" }
        let suffix = reference[relative.endIndex...]
        for segment in relative.split(separator: "/", omittingEmptySubsequences: false) {
            switch segment {
            case ".": continue
            case "..": if segments.count > 1 { segments.removeLast() }
            default: segments.append(String(segment))
            }
        }
        return HTTPURL(parsing: base + segments.joined(separator: "/") + suffix)
    }

    /// Everything but letters, digits and `-._~` as `%XX`.
    package static func percentEncoded(_ text: String) -> String {
        let hex = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                out.append(byte)
            default:
                out += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 0xf)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func splitScheme(_ text: String) -> (Scheme, Substring)? {
        guard let colon = text.firstIndex(of: ":"), let scheme = Scheme(rawValue: text[..<colon].lowercased()) else {
            return nil
        }
        let rest = text[text.index(after: colon)...]
        guard rest.hasPrefix("//") else { return nil }
        return (scheme, rest.dropFirst(2))
    }

    private static func splitAuthority(_ text: Substring) -> (host: String, port: UInt16?)? {
        var host = text
        var port: UInt16?
        let searchStart = text.lastIndex(of: "]") ?? text.startIndex
        if let colon = text[searchStart...].lastIndex(of: ":") {
            let digits = text[text.index(after: colon)...]
            host = text[..<colon]
            if !digits.isEmpty {
                guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                    let number = UInt16(digits), number > 0
                else { return nil }
                port = number
            }
        }
        guard !host.isEmpty, host.utf8.allSatisfy(mayStandInHost) else { return nil }
        // A colon is part of a host only in an IPv6 address.
        if host.contains(":") || host.contains("[") || host.contains("]") {
            guard host.hasPrefix("["), host.hasSuffix("]"), host.dropFirst().dropLast().contains(":") else {
                return nil
            }
        }
        return (host.lowercased(), port)
    }

    private static func isSchemeName(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20) }
    }

    private static func mayStandInURL(_ byte: UInt8) -> Bool {
        (0x21...0x7e).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "<")
            && byte != UInt8(ascii: ">") && byte != UInt8(ascii: "\\")
    }

    private static func mayStandInHost(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"):
            true
        default: false
        }
    }
}

/// For people: without the query, which may hold upload states and signatures.
extension HTTPURL: CustomStringConvertible {
    package var description: String {
        "\(scheme.rawValue)://\(authority)\(path)" + (target.contains("?") ? "?..." : "")
    }
}
