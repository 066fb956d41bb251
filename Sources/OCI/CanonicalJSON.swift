package import FoundationEssentials

/// The one way documents are written, so that the same value always has the same bytes and digest.
///
/// Keys are sorted, slashes are not escaped, nothing is pretty-printed. Documents that were pulled are never written
/// again: their raw bytes are kept.
package enum CanonicalJSON {
    package static func encode(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value)
    }

    /// Reads a document, naming it in the error.
    ///
    /// - Parameter name: what the document is and where it came from, as "manifest of debian:12".
    package static func decode<T: Decodable>(_ type: T.Type, from data: Data, name: String) throws(OCIError) -> T {
        do {
            return try JSONDecoder().decode(type, from: data)
        } catch let error as OCIError {
            throw OCIError("\(name): \(error.message)")
        } catch let error as DecodingError {
            throw OCIError("\(name) is not a valid document: \(explain(error))")
        } catch {
            throw OCIError("\(name) is not a valid document")
        }
    }

    private static func explain(_ error: DecodingError) -> String {
        func place(_ context: DecodingError.Context) -> String {
            let path = context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }
            return path.isEmpty ? "at the top" : "at \(path.joined(separator: "."))"
        }
        return switch error {
        case .keyNotFound(let key, let context): "'\(key.stringValue)' is missing \(place(context))"
        case .typeMismatch(_, let context): "a value has the wrong type \(place(context))"
        case .valueNotFound(_, let context): "a value is null \(place(context))"
        case .dataCorrupted(let context): "it cannot be read \(place(context))"
        @unknown default: "it cannot be read"
        }
    }
}
