// https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html

import SystemIO

/// A role for the holder of a token file, as EKS gives it to service accounts (IRSA).
struct WebIdentity: Sendable {
    private let context: AWSContext
    private let configuration: AWSConfiguration
    private let region: String

    /// - Parameter region: where STS is called when no region is configured.
    init(_ context: AWSContext, _ configuration: AWSConfiguration, region: String) {
        self.context = context
        self.configuration = configuration
        self.region = region
    }

    /// The role that the environment names.
    func find() async throws(RegistryError) -> AWSCredentialChain.Finding {
        let variables = context.variables
        guard let file = variables["AWS_WEB_IDENTITY_TOKEN_FILE"] else {
            return .absent("no web identity (AWS_WEB_IDENTITY_TOKEN_FILE is not set)")
        }
        guard let arn = variables["AWS_ROLE_ARN"] else {
            throw RegistryError(
                .credentials, message: "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not",
                hint: "is the service account annotated with eks.amazonaws.com/role-arn?")
        }
        let role = try context.role(arn, sessionName: variables["AWS_ROLE_SESSION_NAME"])
        return .found(
            try await assume(
                role, file: file, named: "AWS_WEB_IDENTITY_TOKEN_FILE",
                source: "the web identity of AWS_WEB_IDENTITY_TOKEN_FILE (role \(printable(arn)))"))
    }

    /// The role for the token that is in `file`.
    func assume(
        _ role: SecurityTokenService.Role, file: String, named variable: String, source: String
    ) async throws(RegistryError) -> AWSCredentials {
        let service = try context.securityTokenService(configuration, region: region)
        return try await service.assume(role, source: source) { () throws(RegistryError) in
            try await context.token(in: file, named: variable)
        }
    }
}

extension AWSContext {
    /// STS in the configured region, else in `region`.
    func securityTokenService(
        _ configuration: AWSConfiguration, region: String
    ) throws(RegistryError) -> SecurityTokenService {
        let endpoint = try configuration.endpoint(of: .sts, region: configuration.region ?? region)
        return SecurityTokenService(client: client(configuration), endpoint: endpoint, pacing: pacing)
    }

    /// A role to be assumed, under the name that sessions have here unless another is given.
    func role(_ arn: String, sessionName: String?) throws(RegistryError) -> SecurityTokenService.Role {
        if let sessionName {
            guard sessionName.wholeMatch(of: /[A-Za-z0-9_+=,.@-]{2,64}/) != nil else {
                throw RegistryError(
                    .configuration,
                    message:
                        "the role session name '\(printable(sessionName, limit: 80))' is not 2 to 64 letters, digits or +=,.@-_"
                )
            }
            return SecurityTokenService.Role(arn: arn, sessionName: sessionName)
        }
        return SecurityTokenService.Role(arn: arn, sessionName: "imgbuild-\(clock.now.seconds)")
    }
}
