// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html

/// The role of the machine itself, from EC2's metadata service, version 2 of its protocol alone.
struct InstanceMetadata: Sendable {
    private let context: AWSContext
    private let configuration: AWSConfiguration

    init(_ context: AWSContext, _ configuration: AWSConfiguration) {
        self.context = context
        self.configuration = configuration
    }

    /// Each request takes at most a second; the first, which finds out whether there is such a service, has two tries.
    private static let attempts = 2
    /// How long the token is good that each request needs (seconds): six hours, as botocore asks for.
    private static let tokenLife = 21600

    func find() async throws(RegistryError) -> AWSCredentialChain.Finding {
        if context.variables.isTrue("AWS_EC2_METADATA_DISABLED") {
            return .absent("the machine's role is not asked for (AWS_EC2_METADATA_DISABLED=true)")
        }
        let base = try configuration.machineEndpoint()
        let token: String
        switch try await openSession(base) {
        case .absent(let reason): return .absent(reason)
        case .token(let found): token = found
        }
        let list = "/latest/meta-data/iam/security-credentials/"
        let response = try await get(list, base, token)
        let names = String(decoding: response.body, as: UTF8.self).split(whereSeparator: \.isNewline)
        guard response.status == 200, let role = names.first, !role.isEmpty else {
            return .absent("this machine has no role (\(base.authority) names none)")
        }
        guard role.wholeMatch(of: /[\w+=,.@-]+/) != nil else {
            throw RegistryError(
                .answer, request: "GET \(base)", message: "the metadata service names a role that cannot be one")
        }
        let answer = try await get(list + role, base, token)
        guard answer.status == 200 else {
            throw RegistryError(
                .credentials, request: "GET \(answer.url)",
                message: "the metadata service answers \(answer.status) for the machine's role '\(role)'")
        }
        return .found(
            try ServedCredentials.read(answer, context, source: "the machine's role '\(role)' (instance metadata)"))
    }

    private enum Session {
        case token(String)
        case absent(String)
    }

    /// Asks for a token, without which nothing is answered.
    private func openSession(_ base: HTTPURL) async throws(RegistryError) -> Session {
        var isSilent = false
        var reason = ""
        for _ in 0..<InstanceMetadata.attempts {
            do throws(RegistryError) {
                let response = try await context.machine.send(
                    HTTPRequest(
                        .put, try address("/latest/api/token", base),
                        headers: [
                            (
                                name: "X-aws-ec2-metadata-token-ttl-seconds",
                                value: String(InstanceMetadata.tokenLife)
                            )
                        ]))
                let token = String(decoding: response.body, as: UTF8.self)
                switch response.status {
                case 200 where !token.isEmpty && token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }):
                    return .token(token)
                case 500...: reason = "it answers \(response.status)"
                // No try of version 1 of the protocol: whoever forbids this one means it, and what is not EC2 has neither.
                default:
                    return .absent("no metadata service of EC2 at \(base.authority) (it answers \(response.status))")
                }
            } catch {
                if error.kind == .cancelled { throw error }
                isSilent = error.kind == .connection(.timedOut)
                reason = error.message
            }
        }
        guard isSilent else { return .absent("no metadata service of EC2 at \(base.authority) (\(reason))") }
        return .absent(
            "no answer from the metadata service at \(base.authority) (on EC2 that means a hop limit of 1, which ends at the "
                + "node: raise HttpPutResponseHopLimit to 2, or better give the pod a role of its own)")
    }

    private func get(_ path: String, _ base: HTTPURL, _ token: String) async throws(RegistryError) -> HTTPResponse {
        let request = HTTPRequest(
            .get, try address(path, base), headers: [(name: "X-aws-ec2-metadata-token", value: token)])
        do throws(RegistryError) {
            return try await context.machine.send(request)
        } catch {
            var error = error
            // Advice about registries would mislead.
            error.hint = nil
            throw error
        }
    }

    private func address(_ path: String, _ base: HTTPURL) throws(RegistryError) -> HTTPURL {
        // An address given for tests or proxies may have a path of its own in front.
        let prefix = base.path.hasSuffix("/") ? base.path.dropLast() : base.path
        guard let url = base.resolving(prefix + path) else {
            throw RegistryError(.configuration, message: "the address of the metadata service cannot be used")
        }
        return url
    }
}
