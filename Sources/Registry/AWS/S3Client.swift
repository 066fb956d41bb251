// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html

import OCI
import SystemIO

/// Fetches objects of Amazon S3, and of what speaks its protocol, with the AWS credentials of whoever runs this.
package struct S3Client: Sendable {
    private let context: AWSContext
    private let chain: AWSCredentialChain

    init(_ context: AWSContext, _ chain: AWSCredentialChain) {
        self.context = context
        self.chain = chain
    }

    /// Where AWS is asked about a bucket when no region is configured: it says which one is right.
    private static let firstRegion = "us-east-1"

    /// Writes an object to an open file, from its start.
    ///
    /// The bucket may be in any region. A transfer that breaks goes on where it broke; if the object became another one meanwhile, it
    /// starts again. After a failure the file holds an unknown part.
    ///
    /// - Parameter descriptor: stays the caller's and has to be open until this returns. Its file offset is not used.
    /// - Throws: `RegistryError`, final: it was tried again as the standard policy says.
    package func fetch(_ object: S3Object, to descriptor: Int32) async throws(RegistryError) -> FileClient.File {
        let configuration = try await context.configuration()
        let receiver = FileReceiver(.file(descriptor), condition: .ifMatch)
        let transfer = FileTransfer(
            receiver: receiver, retrier: Retrier(policy: .standard, pacing: context.pacing))
        var region = configuration.region ?? S3Client.firstRegion
        return try await transfer.run { () throws(RegistryError) in
            var credentials = try await chain.credentials(region: region)
            var response = try await ask(object, region, configuration, credentials, receiver)
            let correction = context.clock.correction
            context.clock.learn(from: response.head)
            if let home = S3Client.home(of: response), home != region {
                region = home
                response = try await ask(object, region, configuration, credentials, receiver)
            }
            let failure = AWSFailure(response)
            if failure.isExpired, credentials.expiry != nil {
                chain.forget(credentials)
                credentials = try await chain.credentials(region: region)
                response = try await ask(object, region, configuration, credentials, receiver)
            } else if failure.isAboutTime, context.clock.correction != correction {
                response = try await ask(object, region, configuration, credentials, receiver)
            }
            switch response.status {
            case 200, 206: return try receiver.finish(response, request: "GET \(object)")
            case 412, 416: if receiver.received > 0 { throw receiver.startAgain(request: "GET \(object)") }
            default: break
            }
            throw S3Client.refusal(of: object, response, credentials)
        }
    }

    /// The region of a bucket that was asked for elsewhere.
    private static func home(of response: HTTPResponse) -> String? {
        guard ![200, 206].contains(response.status) else { return nil }
        if let named = response.head["x-amz-bucket-region"], !named.isEmpty { return named }
        guard response.status == 400 || response.status == 301 else { return nil }
        // Servers of others say it in the text alone.
        return XMLText.first("Region", in: String(decoding: response.body, as: UTF8.self))
    }

    /// Asks once for what of the object is missing.
    private func ask(
        _ object: S3Object, _ region: String, _ configuration: AWSConfiguration, _ credentials: AWSCredentials,
        _ receiver: FileReceiver
    ) async throws(RegistryError) -> HTTPResponse {
        let endpoint = try configuration.endpoint(of: .s3, region: region)
        let url = try object.url(at: endpoint.url, isPathStyle: try isPathStyle(object, configuration))
        let date = RequestSigner.date(context.clock.now)
        var headers = [
            (name: "Host", value: url.authority), (name: "X-Amz-Date", value: date),
            (name: "X-Amz-Content-Sha256", value: Digest(sha256: SHA256.hash([])).hex),
        ]
        if let token = credentials.sessionToken { headers.append((name: "X-Amz-Security-Token", value: token)) }
        let signer = RequestSigner(
            credentials: credentials, region: endpoint.region, service: endpoint.service.signingName)
        let message = RequestSigner.Message(method: "GET", path: String(url.path), headers: headers, body: [])
        headers.append((name: "Authorization", value: signer.authorization(for: message, date: date)))
        do throws(RegistryError) {
            // Redirects are not followed: a signature is for one host.
            return try await context.client(configuration).transport.send(
                HTTPRequest(.get, url, headers: headers + receiver.startTry(), sink: .receiver(receiver)))
        } catch {
            throw AWSClient.explained(error, host: url.host)
        }
    }

    /// A bucket stands in the host's name at AWS, and in the path elsewhere: the names below a server of one's own seldom resolve.
    /// Kaniko's `S3_FORCE_PATH_STYLE` decides where it is set, then the profile.
    private func isPathStyle(_ object: S3Object, _ configuration: AWSConfiguration) throws(RegistryError) -> Bool {
        switch context.variables["S3_FORCE_PATH_STYLE"]?.lowercased() {
        case "true", "1": return true
        case "false", "0": return false
        default: break
        }
        switch try configuration.addressingStyle() {
        case .path: return true
        case .virtual: return false
        case .auto: return configuration.hasOwnEndpoint(.s3) || !object.fitsIntoHost
        }
    }

    private static func refusal(
        of object: S3Object, _ response: HTTPResponse, _ credentials: AWSCredentials
    ) -> RegistryError {
        let failure = AWSFailure(response)
        let name = RegistryError.reasonPhrases[response.status].map { " \($0)" } ?? ""
        let said = [failure.code, failure.message].filter { !$0.isEmpty }.joined(separator: ": ")
        let isRefused = [401, 403].contains(response.status)
        var message = "S3 answered \(response.status)\(name) to the \(credentials)" + (said.isEmpty ? "" : ": \(said)")
        for secret in credentials.secrets { message = message.replacing(secret, with: "***") }
        return RegistryError(
            isRefused ? .credentials : .status(response.status), request: "GET \(response.url)",
            codes: [failure.code].filter { !$0.isEmpty }, message: message,
            hint: hint(failure, object, response, credentials),
            isTemporary: failure.isTemporary(status: response.status), retryAfter: response.retryAfter)
    }

    private static func hint(
        _ failure: AWSFailure, _ object: S3Object, _ response: HTTPResponse, _ credentials: AWSCredentials
    ) -> String? {
        switch failure.code {
        case "NoSuchKey": "the bucket has no such object: look with aws s3 ls s3://\(object.bucket)/"
        case "NoSuchBucket": "check the bucket's name, and S3_ENDPOINT or AWS_ENDPOINT_URL_S3 if its server is your own"
        case "AccessDenied", "AllAccessDisabled":
            "allow s3:GetObject on arn:aws:s3:::\(object.bucket)/\(printable(object.key)) for this identity; a missing object "
                + "is told from a forbidden one only to those who are allowed s3:ListBucket"
        case "InvalidObjectState": "the object is in an archive (Glacier): restore it first"
        case let code where code.hasPrefix("KMS."): "allow kms:Decrypt on the key of the object for this identity"
        case "" where [301, 302, 303, 307, 308].contains(response.status):
            "the endpoint is somewhere else: name its own address with AWS_ENDPOINT_URL_S3"
        default: AWSClient.hint(failure, isTemporaryKey: credentials.sessionToken != nil)
        }
    }
}
