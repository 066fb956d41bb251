// https://github.com/distribution/reference (grammar)

/// Where an image is: `registry/repository[:tag][@digest]`, with Docker's defaults filled in.
package struct ImageReference: Hashable, Sendable {
    /// Host and port as a client must dial it; `registry-1.docker.io` for Docker Hub is the client's affair.
    package let registry: String
    package let repository: String
    package let tag: String?
    package let digest: Digest?

    /// The name under which Docker Hub is known in references.
    package static let dockerHub = "docker.io"

    package init(registry: String, repository: String, tag: String?, digest: Digest? = nil) {
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest
    }

    /// Reads a reference as people write it. Without tag and digest the tag is `latest`.
    package init(parsing text: String) throws(OCIError) {
        func failure(_ reason: String) -> OCIError {
            OCIError("'\(printable(text))' is not an image reference: \(reason)")
        }
        func wrongTag(_ tag: String) -> OCIError {
            failure(
                "the tag '\(printable(tag))' may hold letters, digits, '_', '.' and '-' only, 128 at most, and not start with '.' or '-'"
            )
        }
        guard !text.isEmpty else { throw OCIError("an image reference is empty") }
        guard !text.contains("://") else {
            throw failure("write it without the scheme, as registry.example.com/app:1")
        }
        var rest = Substring(text)
        var digest: Digest?
        if let at = rest.firstIndex(of: "@") {
            digest = try Digest(parsing: rest[rest.index(after: at)...])
            rest = rest[..<at]
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            let written = String(rest[rest.index(after: colon)...])
            guard ImageReference.isTag(written) else { throw wrongTag(written) }
            tag = written
            rest = rest[..<colon]
        }
        var registry = ImageReference.dockerHub
        if let slash = rest.firstIndex(of: "/"), ImageReference.isRegistry(rest[..<slash]) {
            registry = String(rest[..<slash])
            rest = rest[rest.index(after: slash)...]
        }
        guard ImageReference.isHost(registry) else { throw failure("'\(printable(registry))' is not a host[:port]") }
        if ImageReference.isDockerHub(registry) { registry = ImageReference.dockerHub }
        var repository = String(rest)
        if registry == ImageReference.dockerHub, !repository.contains("/"), !repository.isEmpty {
            repository = "library/" + repository
        }
        guard repository.utf8.count <= 255 else { throw failure("the repository name is longer than 255 characters") }
        // A tag with a slash, as the name of a branch.
        if let colon = repository.firstIndex(of: ":"), repository[colon...].contains("/") {
            throw wrongTag(String(repository[repository.index(after: colon)...]))
        }
        let components = repository.split(separator: "/", omittingEmptySubsequences: false)
        guard components.allSatisfy(ImageReference.isPathComponent) else {
            let lowered = repository.lowercased()
            let hint =
                lowered != repository ? "; repository names are lower case: did you mean '\(printable(lowered))'?" : ""
            throw failure("the repository '\(printable(repository))' is not valid\(hint)")
        }
        self.init(
            registry: registry, repository: repository, tag: tag ?? (digest == nil ? "latest" : nil), digest: digest)
    }

    /// Whether a host is Docker Hub's, by any of its names.
    package static func isDockerHub(_ host: String) -> Bool {
        [dockerHub, "index.docker.io", "registry-1.docker.io"].contains(host)
    }

    /// The tag or digest that a manifest request asks for; the digest when there is one.
    package var manifestName: String {
        digest?.description ?? tag ?? "latest"
    }

    /// As Docker shows it: without `docker.io/` and `library/`.
    package var familiarName: String {
        guard registry == ImageReference.dockerHub else { return "\(registry)/\(repository)" }
        return repository.hasPrefix("library/") ? String(repository.dropFirst("library/".count)) : repository
    }

    private static func isRegistry(_ first: Substring) -> Bool {
        first == "localhost" || first.contains(".") || first.contains(":") || first.contains("[")
            || first.utf8.contains { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
    }

    private static func isHost(_ text: String) -> Bool {
        var host = Substring(text)
        if host.hasPrefix("[") {
            guard let close = host.firstIndex(of: "]") else { return false }
            let port = host[host.index(after: close)...]
            host = host[host.index(after: host.startIndex)..<close]
            guard !host.isEmpty, host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else { return false }
            return port.isEmpty || (port.hasPrefix(":") && isPort(port.dropFirst()))
        }
        if let colon = host.firstIndex(of: ":") {
            guard isPort(host[host.index(after: colon)...]) else { return false }
            host = host[..<colon]
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
        }
    }

    private static func isPort(_ text: Substring) -> Bool {
        guard let port = UInt16(text) else { return false }
        return port > 0 && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }

    /// Lower-case letters and digits, joined by one '.', one or two '_', or any number of '-'.
    private static func isPathComponent(_ component: Substring) -> Bool {
        let bytes = Array(component.utf8)
        guard let first = bytes.first, let last = bytes.last else { return false }
        guard isLowerAlphanumeric(first), isLowerAlphanumeric(last) else { return false }
        var index = 0
        while index < bytes.count {
            if isLowerAlphanumeric(bytes[index]) {
                index += 1
                continue
            }
            let separator = bytes[index]
            var run = 0
            while index < bytes.count, bytes[index] == separator {
                run += 1
                index += 1
            }
            let follows = index < bytes.count && isLowerAlphanumeric(bytes[index])
            switch separator {
            case UInt8(ascii: "."): guard run == 1, follows else { return false }
            case UInt8(ascii: "_"): guard run <= 2, follows else { return false }
            case UInt8(ascii: "-"): guard follows else { return false }
            default: return false
            }
        }
        return true
    }

    private static func isTag(_ tag: String) -> Bool {
        let bytes = Array(tag.utf8)
        guard let first = bytes.first, bytes.count <= 128 else { return false }
        guard isAlphanumeric(first) || first == UInt8(ascii: "_") else { return false }
        return bytes.allSatisfy {
            isAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        isLowerAlphanumeric(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }

    private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}

extension ImageReference: CustomStringConvertible {
    package var description: String {
        "\(registry)/\(repository)" + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }
}
