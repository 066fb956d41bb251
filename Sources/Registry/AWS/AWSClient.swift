// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/Welcome.html
// https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html

import SystemIO

/// One operation of a service of AWS.
struct AWSCall: Sendable {
    /// As policies name it: `ecr:GetAuthorizationToken`.
    let action: String
    let endpoint: AWSEndpoint
    let contentType: String
    /// The value of `X-Amz-Target`, for services that speak JSON.
    let target: String?
    let body: [UInt8]

    /// A call of a service that speaks JSON.
    init(action: String, target: String, endpoint: AWSEndpoint, json: [UInt8]) {
        self.action = action
        self.endpoint = endpoint
        self.target = target
        contentType = "application/x-amz-json-1.1"
        body = json
    }

    /// A call of a service that takes forms.
    init(action: String, endpoint: AWSEndpoint, form: [(name: String, value: String)]) {
        self.action = action
        self.endpoint = endpoint
        target = nil
        contentType = "application/x-www-form-urlencoded"
        let pairs = form.map { "\($0.name)=\(HTTPURL.percentEncoded($0.value))" }
        body = Array(pairs.joined(separator: "&").utf8)
    }
}

/// Calls services of AWS.
struct AWSClient: Sendable {
    let transport: any HTTPTransport
    let clock: AWSClock
    let retrier: Retrier

    /// Answers are a few KiB (bytes).
    private static let answerLimit = 64 * 1024

    init(transport: any HTTPTransport, clock: AWSClock, retrier: Retrier) {
        self.transport = transport
        self.clock = clock
        self.retrier = retrier
    }

    /// Makes a call, again if that may help, and returns the body of the answer.
    ///
    /// - Parameter credentials: `nil` for a call that is not signed.
    /// - Throws: kind `credentials` when AWS refuses, with AWS's own code in `codes`.
    func send(_ call: AWSCall, _ credentials: AWSCredentials?) async throws(RegistryError) -> HTTPResponse {
        try await retrier.run { _ throws(RegistryError) in try await sendOnce(call, credentials) }
    }

    /// Makes a call once, and once more if only our clock was wrong.
    func sendOnce(_ call: AWSCall, _ credentials: AWSCredentials?) async throws(RegistryError) -> HTTPResponse {
        let correction = clock.correction
        var response = try await transmit(call, credentials)
        clock.learn(from: response.head)
        if response.status != 200, clock.correction != correction, credentials != nil, AWSFailure(response).isAboutTime
        {
            response = try await transmit(call, credentials)
        }
        guard response.status == 200 else { throw refusal(of: call, response, credentials) }
        return response
    }

    private func transmit(_ call: AWSCall, _ credentials: AWSCredentials?) async throws(RegistryError) -> HTTPResponse {
        let url = call.endpoint.url
        var headers = [(name: "Host", value: url.authority), (name: "Content-Type", value: call.contentType)]
        if let target = call.target { headers.append((name: "X-Amz-Target", value: target)) }
        if let credentials {
            let date = RequestSigner.date(clock.now)
            headers.append((name: "X-Amz-Date", value: date))
            if let token = credentials.sessionToken { headers.append((name: "X-Amz-Security-Token", value: token)) }
            let signer = RequestSigner(
                credentials: credentials, region: call.endpoint.region, service: call.endpoint.service.signingName)
            let message = RequestSigner.Message(
                method: "POST", path: String(url.path), headers: headers, body: call.body)
            headers.append((name: "Authorization", value: signer.authorization(for: message, date: date)))
        }
        do throws(RegistryError) {
            // Redirects are not followed: a signature is for one host.
            return try await transport.send(
                HTTPRequest(
                    .post, url, headers: headers, body: .bytes(call.body), sink: .bytes(limit: AWSClient.answerLimit)))
        } catch {
            throw AWSClient.explained(error, host: url.host)
        }
    }

    private func refusal(
        of call: AWSCall, _ response: HTTPResponse, _ credentials: AWSCredentials?
    ) -> RegistryError {
        let failure = AWSFailure(response)
        var said = [failure.code, failure.message].filter { !$0.isEmpty }.joined(separator: ": ")
        // A message may repeat what was sent.
        for secret in credentials?.secrets ?? [] { said = said.replacing(secret, with: "***") }
        let name = RegistryError.reasonPhrases[response.status].map { " \($0)" } ?? ""
        let who = credentials.map { " for the \($0)" } ?? ""
        return RegistryError(
            .credentials, request: "\(call.action) at \(response.url)", codes: [failure.code].filter { !$0.isEmpty },
            message: "AWS refused \(call.action)\(who): \(said.isEmpty ? "\(response.status)\(name)" : said)",
            hint: AWSClient.hint(failure, call, isTemporaryKey: credentials?.sessionToken != nil),
            isTemporary: failure.isTemporary(status: response.status), retryAfter: response.retryAfter)
    }

    private static func hint(_ failure: AWSFailure, _ call: AWSCall, isTemporaryKey: Bool) -> String? {
        switch failure.code {
        case let code where code.hasPrefix("AccessDenied") || code == "UnauthorizedOperation":
            call.action == "sts:AssumeRoleWithWebIdentity"
                ? "the role's trust policy must name the cluster's OIDC provider and this service account (docs/ecr.md)"
                : "allow \(call.action) for this identity (docs/ecr.md lists what a push needs)"
        case "InvalidIdentityToken": "is the cluster's OIDC provider registered in the account of the role?"
        default: hint(failure, isTemporaryKey: isTemporaryKey)
        }
    }

    /// What helps where AWS does not like the credentials themselves, or their signature.
    static func hint(_ failure: AWSFailure, isTemporaryKey: Bool) -> String? {
        switch failure.code {
        case _ where failure.isExpired: "these credentials have ended: renew them"
        case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId":
            isTemporaryKey
                ? "AWS does not know this key: it, or its session token, may have ended"
                : "AWS does not know this key; a temporary key (ASIA...) also needs its AWS_SESSION_TOKEN"
        case "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature":
            "the secret key is not the one of this key ID, or this machine's clock is wrong"
        default: nil
        }
    }

    /// A failed connection with advice that helps with AWS.
    static func explained(_ error: RegistryError, host: String) -> RegistryError {
        var error = error
        switch error.kind {
        case .connection(.unknownHost):
            error.hint = "does \(host) resolve from here? A private network needs a VPC endpoint for it"
        case .connection(.refused), .connection(.timedOut):
            error.hint = "can \(host) be reached from here, by HTTPS_PROXY or a VPC endpoint?"
        case .connection(.certificate):
            error.hint = "if a proxy of your own signs the certificate, name its authority with AWS_CA_BUNDLE"
        case .connection(.notTLS): error.hint = "write http:// in the endpoint's address if that is meant"
        default: break
        }
        return error
    }
}
