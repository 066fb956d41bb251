/// A `RUN --mount` flag: its options as written, in order.
///
/// The keys are known ones. If no value holds a variable, `resolved()` is known to succeed; otherwise it must be called
/// after expansion.
package struct RunMount: Hashable, Sendable {
    package struct Option: Hashable, Sendable {
        /// In lower case, `dst` and its like replaced by the first of their names.
        package var key: Key
        /// The key as written, for messages.
        package var written: String
        package var value: String?
    }

    package enum Key: String, Hashable, Sendable, CaseIterable {
        case type, from, source, target, readonly, readwrite, id, sharing, required, size, mode, uid, gid, env

        init?(_ name: String) {
            switch name {
            case "src": self = .source
            case "dst", "destination": self = .target
            case "ro": self = .readonly
            case "rw": self = .readwrite
            default: self.init(rawValue: name)
            }
        }
    }

    package var options: [Option]
    /// Where the flag stands.
    package var range: SourceRange

    /// The stage, named context or image the mount comes from, as written: `from` is never expanded.
    package var from: String? {
        options.last { $0.key == .from }?.value
    }
}

extension RunMount {
    /// A mount whose options are checked and complete.
    package struct Resolved: Hashable, Sendable {
        package var kind: Kind
        /// Not joined to the working directory; `nil` only for a secret or an SSH agent in its usual place.
        package var target: String?
        package var range: SourceRange
    }

    package enum Kind: Hashable, Sendable {
        case bind(from: String?, source: String?, readOnly: Bool)
        case cache(Cache)
        /// `size` in bytes.
        case tmpfs(size: UInt64?)
        case secret(Secret)
        case ssh(SSH)
    }

    package enum Sharing: String, Hashable, Sendable, CaseIterable {
        case shared, `private`, locked
    }

    package struct Owner: Hashable, Sendable {
        package var uid: UInt32 = 0
        package var gid: UInt32 = 0
        /// Permission bits.
        package var mode: UInt16
    }

    package struct Cache: Hashable, Sendable {
        /// What the contents are kept under; the cleaned target unless given.
        package var id: String
        package var sharing: Sharing
        package var readOnly: Bool
        package var from: String?
        package var source: String?
        package var owner: Owner
    }

    package struct Secret: Hashable, Sendable {
        package var id: String
        /// The environment variable that gets the value. Without a target there is then no file.
        package var environment: String?
        package var required: Bool
        package var owner: Owner
    }

    package struct SSH: Hashable, Sendable {
        package var id: String
        package var required: Bool
        package var owner: Owner
    }
}
