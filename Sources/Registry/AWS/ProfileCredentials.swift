// https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html

/// Credentials of a profile in the shared files, with the roles that it assumes on the way.
struct ProfileCredentials: Sendable {
    private let context: AWSContext
    private let configuration: AWSConfiguration
    private let region: String

    /// - Parameter region: where STS is called when no region is configured.
    init(_ context: AWSContext, _ configuration: AWSConfiguration, region: String) {
        self.context = context
        self.configuration = configuration
        self.region = region
    }

    func find() async throws(RegistryError) -> AWSCredentialChain.Finding {
        let name = configuration.profileName
        guard let profile = configuration.profile else {
            guard configuration.isProfileNamed else {
                return .absent("no profile 'default' in \(configuration.files.places)")
            }
            throw RegistryError(
                .credentials, message: "there is no profile '\(printable(name))' in \(configuration.files.places)",
                hint: "AWS_PROFILE names it; in the config file its section is [profile \(printable(name))]")
        }
        guard let found = try await resolve(profile, visited: []) else {
            return .absent("the profile '\(printable(name))' in \(profile.origin) has no credentials")
        }
        return .found(found)
    }

    /// The profile's own credentials, and the role on top of them that it names.
    ///
    /// - Parameter visited: the profiles on the way here.
    private func resolve(_ profile: AWSProfile, visited: [String]) async throws(RegistryError) -> AWSCredentials? {
        guard !visited.contains(profile.name) else {
            throw failure(
                profile, "its source_profile leads back to it (\((visited + [profile.name]).joined(separator: " -> ")))"
            )
        }
        let role = profile["role_arn"]
        guard let base = try await base(of: profile, visited: visited + [profile.name]) else {
            guard role != nil else { return nil }
            throw failure(
                profile, "it has a role_arn and nothing to assume the role with",
                hint: "add source_profile, credential_source or web_identity_token_file")
        }
        // A web identity has assumed the role already.
        guard let role, profile["source_profile"] != nil || profile["web_identity_token_file"] == nil else {
            return base
        }
        return try await assume(role, profile, with: base)
    }

    /// What the profile holds or names, in the order of AWS's own tools.
    private func base(of profile: AWSProfile, visited: [String]) async throws(RegistryError) -> AWSCredentials? {
        if let name = profile["source_profile"] {
            // A profile may name itself: its keys then assume its role.
            if name == profile.name, let keys = try keys(of: profile) { return keys }
            guard let source = configuration.files.profiles[name] else {
                throw failure(profile, "its source_profile '\(printable(name))' does not exist")
            }
            guard let found = try await resolve(source, visited: visited) else {
                throw failure(profile, "its source_profile '\(printable(name))' has no credentials")
            }
            return found
        }
        if let keys = try keys(of: profile) { return keys }
        if let source = profile["credential_source"] { return try await named(source, profile) }
        if let file = profile["web_identity_token_file"] { return try await webIdentity(file, profile) }
        let signOn = ["sso_session", "sso_start_url", "sso_account_id", "login_session"].first { profile[$0] != nil }
        if let signOn {
            throw failure(
                profile, "it signs on in a browser (\(signOn)), which imgbuild does not do",
                hint:
                    "add to the profile: credential_process = aws configure export-credentials --format process --profile NAME"
            )
        }
        guard let command = profile["credential_process"] else { return nil }
        return try await CredentialProcess(context).run(command, profile: profile)
    }

    private func keys(of profile: AWSProfile) throws(RegistryError) -> AWSCredentials? {
        switch (profile["aws_access_key_id"], profile["aws_secret_access_key"]) {
        case (nil, nil): return nil
        case (let id?, let secret?):
            return AWSCredentials(
                accessKeyID: id, secretAccessKey: secret, sessionToken: profile["aws_session_token"],
                source: source(profile))
        case (nil, _): throw failure(profile, "it has an aws_secret_access_key without aws_access_key_id")
        case (_, nil): throw failure(profile, "it has an aws_access_key_id without aws_secret_access_key")
        }
    }

    private func named(_ source: String, _ profile: AWSProfile) async throws(RegistryError) -> AWSCredentials {
        let finding: AWSCredentialChain.Finding
        switch source.lowercased() {
        case "environment": finding = try EnvironmentKeys(context.variables).find()
        case "ecscontainer": finding = try await ContainerCredentials(context).find()
        case "ec2instancemetadata": finding = try await InstanceMetadata(context, configuration).find()
        default:
            throw failure(
                profile, "its credential_source is '\(printable(source, limit: 80))'",
                hint: "it may be Environment, EcsContainer or Ec2InstanceMetadata")
        }
        switch finding {
        case .found(let credentials): return credentials
        case .absent(let reason):
            throw failure(profile, "its credential_source \(source) has no credentials: \(reason)")
        }
    }

    private func webIdentity(_ file: String, _ profile: AWSProfile) async throws(RegistryError) -> AWSCredentials {
        guard let arn = profile["role_arn"] else {
            throw failure(profile, "it has a web_identity_token_file and no role_arn")
        }
        let identity = WebIdentity(context, configuration, region: profile["region"] ?? region)
        return try await identity.assume(
            try context.role(arn, sessionName: profile["role_session_name"]), file: file,
            named: "web_identity_token_file of the profile '\(printable(profile.name))'",
            source: "the web identity of \(source(profile)) (role \(printable(arn)))")
    }

    private func assume(
        _ arn: String, _ profile: AWSProfile, with base: AWSCredentials
    ) async throws(RegistryError) -> AWSCredentials {
        guard profile["mfa_serial"] == nil else {
            throw failure(profile, "its role wants a one-time password (mfa_serial), which nobody can enter here")
        }
        var role = try context.role(arn, sessionName: profile["role_session_name"])
        role.externalID = profile["external_id"]
        if let text = profile["duration_seconds"] {
            guard let seconds = Int(text), (900...43200).contains(seconds) else {
                throw failure(
                    profile, "its duration_seconds is '\(printable(text, limit: 40))'", hint: "it may be 900 to 43200")
            }
            role.duration = seconds
        }
        let service = try context.securityTokenService(configuration, region: profile["region"] ?? region)
        return try await service.assume(
            role, with: base,
            source: "\(source(profile)) (role \(printable(arn)), assumed with those from \(base.source))")
    }

    private func source(_ profile: AWSProfile) -> String { "the profile '\(printable(profile.name))'" }

    private func failure(_ profile: AWSProfile, _ reason: String, hint: String? = nil) -> RegistryError {
        RegistryError(
            .credentials,
            message: "the AWS profile '\(printable(profile.name))' in \(profile.origin) cannot be used: \(reason)",
            hint: hint)
    }
}
