// https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md (platform)

/// An operating system and processor, in Go's words: `linux/amd64`, `linux/arm/v7`.
package struct Platform: Hashable, Sendable, Codable {
    package var os: String
    package var architecture: String
    package var variant: String?
    package var osVersion: String?

    enum CodingKeys: String, CodingKey {
        case os, architecture, variant
        case osVersion = "os.version"
    }

    package init(os: String, architecture: String, variant: String? = nil, osVersion: String? = nil) {
        self.os = os
        self.architecture = architecture
        self.variant = variant
        self.osVersion = osVersion
    }

    /// Reads `os/architecture[/variant]` or a bare architecture, with the usual aliases normalised.
    package init(parsing text: String) throws(OCIError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { $0.lowercased() }
        guard (1...3).contains(parts.count), parts.allSatisfy(Platform.isWord) else {
            throw OCIError("'\(printable(text))' is not a platform: expected os/architecture[/variant], as linux/amd64")
        }
        let os = parts.count == 1 ? "linux" : parts[0]
        let (architecture, implied) = Platform.normalise(parts.count == 1 ? parts[0] : parts[1])
        self.init(os: os, architecture: architecture, variant: parts.count == 3 ? parts[2] : implied)
        if architecture == "arm64", variant == "v8" { variant = nil }
        if architecture == "amd64", variant == "v1" { variant = nil }
    }

    private static func isWord(_ part: String) -> Bool {
        !part.isEmpty
            && part.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
            }
    }

    private static func normalise(_ architecture: String) -> (String, String?) {
        switch architecture {
        case "x86_64", "x86-64": ("amd64", nil)
        case "aarch64": ("arm64", nil)
        case "armhf": ("arm", "v7")
        case "armel": ("arm", "v6")
        case "arm": ("arm", "v7")
        case "i386", "i486", "i586", "i686": ("386", nil)
        default: (architecture, nil)
        }
    }

    /// The platform that this program was built for.
    package static var host: Platform {
        #if arch(x86_64)
            Platform(os: "linux", architecture: "amd64")
        #elseif arch(arm64)
            Platform(os: "linux", architecture: "arm64")
        #else
            #error("imgbuild runs on x86_64 and arm64")
        #endif
    }

    /// Whether an image that says `candidate` runs where this platform is asked for.
    ///
    /// A missing variant stands for the architecture's first one (`v8` for arm64, `v7` for arm, `v1` for amd64).
    package func accepts(_ candidate: Platform) -> Bool {
        os == candidate.os && architecture == candidate.architecture
            && (variant ?? defaultVariant) == (candidate.variant ?? defaultVariant)
    }

    private var defaultVariant: String {
        switch architecture {
        case "arm64": "v8"
        case "arm": "v7"
        case "amd64": "v1"
        default: ""
        }
    }
}

extension Platform: CustomStringConvertible {
    package var description: String {
        [os, architecture, variant].compactMap(\.self).joined(separator: "/")
    }
}
