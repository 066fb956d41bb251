// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html

import FoundationEssentials

/// What AWS says in place of an answer.
struct AWSFailure: Sendable, Hashable {
    /// As `AccessDeniedException`; empty when nothing was said that can be read.
    let code: String
    let message: String

    /// Reads an error: JSON as ECR sends it, XML as STS and gateways do, or a header; else what the body's first line says.
    init(_ response: HTTPResponse) {
        let named = response.head["x-amzn-ErrorType"].map { String($0.prefix { $0 != ":" }) }
        let text = String(decoding: response.body, as: UTF8.self)
        if let answer = try? JSONDecoder().decode(Answer.self, from: Data(response.body)) {
            code = AWSFailure.shortened(answer.type ?? answer.code ?? named ?? "")
            message = AWSFailure.sentence(answer.message ?? "")
        } else if let code = XMLText.first("Code", in: text) {
            self.code = AWSFailure.shortened(code)
            message = AWSFailure.sentence(XMLText.first("Message", in: text) ?? "")
        } else {
            code = AWSFailure.shortened(named ?? "")
            let isPage = text.lowercased().contains("<html") || text.lowercased().contains("<!doctype")
            message = isPage ? "" : AWSFailure.sentence(text)
        }
    }

    /// Whether the same call may succeed a little later.
    func isTemporary(status: Int) -> Bool {
        if RetryPolicy.isTemporary(status: status) { return true }
        return code.hasPrefix("Throttl") || code.hasPrefix("RequestTimeout") || code == "RequestThrottled"
            || ["SlowDown", "TooManyRequestsException", "RequestLimitExceeded", "PriorRequestNotComplete"].contains(
                code)
            || code == "ServerException"
    }

    /// Whether a wrong clock may be the reason.
    var isAboutTime: Bool {
        [
            "RequestTimeTooSkewed", "InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired",
            "RequestInTheFuture", "AuthFailure",
        ].contains(code)
    }

    /// Whether the credentials that were used have ended.
    var isExpired: Bool { AWSFailure.expired.contains(code) }

    static let expired: Set = ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"]

    private struct Answer: Decodable {
        let type: String?
        let code: String?
        let message: String?

        struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            func text(_ names: String...) -> String? {
                names.compactMap { try? container.decode(String.self, forKey: Key(stringValue: $0)) }.first
            }
            type = text("__type")
            code = text("code", "Code", "error")
            message = text("message", "Message", "errorMessage", "error_description")
        }
    }

    /// `com.amazonaws.ecr#AccessDeniedException` without its namespace.
    private static func shortened(_ code: String) -> String {
        printable(code.split(separator: "#").last ?? "", limit: 80)
    }

    /// One line. A message about a signature repeats the request that was signed, with its session token, from its second line
    /// on.
    private static func sentence(_ text: String) -> String {
        let line = text.drop { $0.isWhitespace }.split(whereSeparator: \.isNewline).first ?? ""
        let end = line.firstRange(of: "The Canonical String")?.lowerBound ?? line.endIndex
        var sentence = Substring(printable(line[..<end]))
        while let last = sentence.last, last.isWhitespace || last == "." { sentence.removeLast() }
        return String(sentence)
    }
}

/// Looks into the XML of AWS's query services, which has neither attributes nor prefixes where we look.
enum XMLText {
    /// The text of the first element of this name that holds text alone.
    static func first(_ name: String, in text: String) -> String? {
        guard let open = text.firstRange(of: "<\(name)>"),
            let close = text[open.upperBound...].firstRange(of: "</\(name)>")
        else { return nil }
        let content = text[open.upperBound..<close.lowerBound]
        guard !content.contains("<") else { return nil }
        var plain = String(content)
        for (entity, character) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")] {
            plain = plain.replacing(entity, with: character)
        }
        return plain
    }
}
