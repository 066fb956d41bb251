/// A document, digest or reference that does not follow its specification.
package struct OCIError: Error, CustomStringConvertible, Sendable, Equatable {
    package let message: String

    package init(_ message: String) {
        self.message = message
    }

    package var description: String { message }
}

/// Input shortened and freed of control characters, fit for an error text.
func printable(_ text: some StringProtocol, limit: Int = 120) -> String {
    var out = ""
    for (index, scalar) in text.unicodeScalars.enumerated() {
        if index == limit { return out + "..." }
        if scalar.value < 0x20 || scalar.value == 0x7f {
            out += "\\u{\(String(scalar.value, radix: 16))}"
        } else {
            out.unicodeScalars.append(scalar)
        }
    }
    return out
}
