// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html

import FoundationEssentials
import SystemIO

/// The calls of ECR's API that are needed here.
struct ECRClient: Sendable {
    let client: AWSClient
    let pacing: Pacing

    /// A password for the registry.
    struct Login: Sendable {
        let user: String
        let password: String
        let expiry: ContinuousClock.Instant
    }

    private struct Entry: Decodable {
        let authorizationToken: String?
        /// Seconds since 1970.
        let expiresAt: Double?
    }

    /// ECR sends a list, ECR Public one entry.
    private struct Answer: Decodable {
        let entry: Entry?

        enum CodingKeys: CodingKey { case authorizationData }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            if let list = try? container.decode([Entry].self, forKey: .authorizationData) {
                entry = list.first
            } else {
                entry = try container.decodeIfPresent(Entry.self, forKey: .authorizationData)
            }
        }
    }

    /// Longer lives are not believed (seconds): ECR's tokens are good for 12 hours.
    private static let longestLife: Int64 = 12 * 3600

    /// A login that is good for whatever these credentials may do in the registry.
    func login(
        to host: ECRHost, at endpoint: AWSEndpoint, with credentials: AWSCredentials
    ) async throws(RegistryError) -> Login {
        // ECR calls registryIds deprecated, and its own helper sends them.
        let json = host.account.map { #"{"registryIds":["\#($0)"]}"# } ?? "{}"
        let call = call("GetAuthorizationToken", endpoint, Array(json.utf8))
        let response = try await client.send(call, credentials)
        func unreadable(_ reason: String) -> RegistryError {
            RegistryError(.answer, request: "\(call.action) at \(response.url)", message: reason)
        }
        let answer: Answer
        do { answer = try JSONDecoder().decode(Answer.self, from: Data(response.body)) } catch {
            throw unreadable("the answer is not ECR's")
        }
        guard let token = answer.entry?.authorizationToken, !token.isEmpty else {
            throw unreadable("the answer holds no authorization token")
        }
        guard let pair = Data(base64Encoded: token).flatMap({ String(validating: $0, as: UTF8.self) }),
            let colon = pair.firstIndex(of: ":"), colon != pair.startIndex
        else { throw unreadable("the authorization token is not the base64 form of user:password") }
        var life = ECRClient.longestLife
        if let end = answer.entry?.expiresAt, end.isFinite {
            // Whole seconds of any plausible century.
            let instant = Timestamp(seconds: Int64(min(max(end, 0), 1e11)))
            life = min(life, client.clock.seconds(until: instant))
        }
        // Whatever date it has, what was just handed out is used for a minute: nobody may be sent to fetch it for ever.
        var expiry = pacing.now() + .seconds(max(life, 60))
        // Reported of public.ecr.aws: a token does not outlive the credentials that it was asked for with.
        if let end = credentials.expiry { expiry = min(expiry, end) }
        return Login(
            user: String(pair[..<colon]), password: String(pair[pair.index(after: colon)...]), expiry: expiry)
    }

    /// Makes a repository; one that is there already is a success.
    ///
    /// - Parameter name: as ECR has it, see `ECRHost.repositoryName`.
    func createRepository(
        _ name: String, in host: ECRHost, at endpoint: AWSEndpoint, with credentials: AWSCredentials
    ) async throws(RegistryError) {
        struct Request: Encodable {
            let registryId: String?
            let repositoryName: String
        }
        let json: Data
        do { json = try JSONEncoder().encode(Request(registryId: host.account, repositoryName: name)) } catch {
            throw RegistryError(.configuration, message: "'\(printable(name))' cannot be the name of a repository")
        }
        do throws(RegistryError) {
            _ = try await client.send(call("CreateRepository", endpoint, Array(json)), credentials)
        } catch {
            guard !error.codes.contains("RepositoryAlreadyExistsException") else { return }
            throw error
        }
    }

    private func call(_ operation: String, _ endpoint: AWSEndpoint, _ json: [UInt8]) -> AWSCall {
        let isPublic = endpoint.service == .ecrPublic
        let service = isPublic ? "SpencerFrontendService" : "AmazonEC2ContainerRegistry_V20150921"
        return AWSCall(
            action: "\(endpoint.service.signingName):\(operation)", target: "\(service).\(operation)",
            endpoint: endpoint, json: json)
    }
}
