package import SystemIO

/// What can go wrong between a file tree and a layer blob.
package enum LayerError: Error, Sendable, Hashable {
    /// The kernel refused something on the builder's side: a full disk, a missing permission.
    case system(SystemError)
    /// A layer or archive is damaged or hostile. `entry` is the printable name of the entry at fault.
    case invalid(layer: String, entry: String?, reason: String)
    /// The bytes are not those that were asked for.
    case digestMismatch(expected: String, actual: String)
    case cancelled
}

extension LayerError {
    /// What went wrong while bytes of a layer or archive were decompressed.
    init(_ failure: Decompressor.Failure, layer: String, entry: String? = nil) {
        switch failure {
        case .system(let error): self = .system(error)
        case .damaged(let reason): self = .invalid(layer: layer, entry: entry, reason: reason)
        }
    }
}

extension LayerError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .system(let error): error.description
        case .invalid(let layer, let entry?, let reason): "\(layer): entry '\(entry)': \(reason)"
        case .invalid(let layer, nil, let reason): "\(layer): \(reason)"
        case .digestMismatch(let expected, let actual): "the content has the digest \(actual), expected \(expected)"
        case .cancelled: "cancelled"
        }
    }
}
