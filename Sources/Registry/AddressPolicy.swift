import Glibc

/// Which addresses a registry may send us to.
///
/// A registry names addresses of its choice: token realms, upload locations, redirects. None of them may make the builder
/// talk to its own host, to its private network or to a cloud's metadata service, and none may take away encryption.
package struct AddressPolicy: Sendable {
    /// Where an address literal points.
    package enum Reach: Sendable {
        case name, publicAddress, privateAddress, loopback, linkLocal, unspecified
    }

    private let registry: HTTPURL

    package init(registry: HTTPURL) {
        self.registry = registry
    }

    /// Why `url` may not be used, or `nil` when it may.
    ///
    /// The registry's own origin is always allowed; loopback and private addresses only for a registry that is there itself.
    package func objection(to url: HTTPURL) -> String? {
        if url.origin == registry.origin { return nil }
        if url.scheme == .http, registry.scheme == .https { return "it would leave https for plain http" }
        let reach = AddressPolicy.reach(of: url.host)
        let home = AddressPolicy.reach(of: registry.host)
        switch reach {
        case .name, .publicAddress: return nil
        case .loopback: return home == .loopback ? nil : "it points at this machine itself"
        case .privateAddress:
            return home == .privateAddress || home == .loopback ? nil : "it points into a private network"
        case .linkLocal: return home == .linkLocal ? nil : "it points at a link-local address (a metadata service?)"
        case .unspecified: return "it points at the unspecified address"
        }
    }

    /// Classifies a host of a URL: brackets around IPv6, and the short forms of IPv4 that the C library takes.
    package static func reach(of host: String) -> Reach {
        if host == "localhost" || host.hasSuffix(".localhost") { return .loopback }
        if host.hasPrefix("["), host.hasSuffix("]") { return reachIPv6(String(host.dropFirst().dropLast())) }
        var address = in_addr()
        // inet_aton takes 127.1, 0x7f000001 and 2130706433, as the resolver will.
        guard inet_aton(host, &address) != 0 else { return .name }
        return reachIPv4(UInt32(bigEndian: address.s_addr))
    }

    private static func reachIPv4(_ address: UInt32) -> Reach {
        switch (UInt8(address >> 24), UInt8(address >> 16 & 0xff)) {
        case (0, _): .unspecified
        case (127, _): .loopback
        case (169, 254): .linkLocal
        case (10, _), (192, 168), (172, 16...31), (100, 64...127): .privateAddress
        default: .publicAddress
        }
    }

    private static func reachIPv6(_ text: String) -> Reach {
        var address = in6_addr()
        // A zone (fe80::1%eth0) only exists for link-local addresses.
        guard inet_pton(AF_INET6, text, &address) == 1 else { return .linkLocal }
        let bytes = withUnsafeBytes(of: &address) { Array($0) }
        let leadingZeros = bytes.prefix { $0 == 0 }.count
        if leadingZeros == 16 { return .unspecified }
        if leadingZeros == 15, bytes[15] == 1 { return .loopback }
        let mapped = leadingZeros == 10 && bytes[10] == 0xff && bytes[11] == 0xff
        let nat64 = Array(bytes.prefix(12)) == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]
        if mapped || nat64 || leadingZeros >= 12 {
            return reachIPv4(bytes[12...].reduce(0) { $0 << 8 | UInt32($1) })
        }
        if bytes[0] == 0xfe, bytes[1] & 0xc0 == 0x80 { return .linkLocal }
        if bytes[0] & 0xfe == 0xfc { return .privateAddress }
        return .publicAddress
    }
}
