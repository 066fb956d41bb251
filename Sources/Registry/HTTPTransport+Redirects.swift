// https://www.rfc-editor.org/rfc/rfc9110#section-15.4

extension HTTPTransport {
    /// Sends `request` and follows where it is sent, at most ten times.
    ///
    /// `Authorization` stays behind as soon as scheme, host or port change. Each address has to pass `policy`.
    /// 301, 302 and 303 are followed for GET and HEAD only; 307 and 308 repeat the request with its body.
    func sendFollowing(_ request: HTTPRequest, _ policy: AddressPolicy) async throws(RegistryError) -> HTTPResponse {
        var request = request
        for _ in 0...10 {
            let response = try await send(request)
            let isRead = request.method == .get || request.method == .head
            let isRedirect =
                [307, 308].contains(response.status) || (isRead && [301, 302, 303].contains(response.status))
            guard isRedirect else { return response }
            guard let location = response.head["Location"] else {
                throw RegistryError(
                    .answer, request: request.summary, message: "\(response.status) without a Location to go to")
            }
            let next = try policy.checked(location, from: request.url, in: request.summary, called: "redirect")
            if next.origin != request.url.origin {
                request.headers.removeAll { $0.name.lowercased() == "authorization" }
            }
            request.url = next
        }
        throw RegistryError(.answer, request: request.summary, message: "redirected more than ten times")
    }
}

extension AddressPolicy {
    /// Resolves and checks an address that a server named.
    ///
    /// - Parameter what: what the address is for, in error texts: "redirect", "upload location".
    func checked(
        _ reference: String, from base: HTTPURL, in request: String, called what: String
    ) throws(RegistryError) -> HTTPURL {
        guard let url = base.resolving(reference) else {
            throw RegistryError(
                .address, request: request, message: "the \(what) is not an http or https address")
        }
        if let objection = objection(to: url) {
            let isOwnName = url.scheme == .http && base.scheme == .https && url.host == base.host
            throw RegistryError(
                .address, request: request, message: "the \(what) to \(url) is not followed: \(objection)",
                hint: isOwnName
                    ? "the server behind \(base.authority) does not know that it is reached over https; "
                        + "what is in front of it has to tell it, by the header X-Forwarded-Proto" : nil)
        }
        return url
    }
}
