// https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html

import SystemPackage

/// AWS's variables of an environment. An empty one counts as not set, as for AWS's own tools.
struct AWSVariables: Sendable {
    private let values: [String: String]

    init(_ environment: [String: String]) {
        values = environment
    }

    subscript(name: String) -> String? {
        values[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    func isTrue(_ name: String) -> Bool { self[name]?.lowercased() == "true" }
}

/// The settings of AWS's tools: those of the environment before those of the profile.
struct AWSConfiguration: Sendable {
    let variables: AWSVariables
    let files: AWSProfileFiles

    /// The profile in use, whether it exists or not.
    var profileName: String { variables["AWS_PROFILE"] ?? variables["AWS_DEFAULT_PROFILE"] ?? "default" }

    /// Whether somebody asked for this profile by name.
    var isProfileNamed: Bool { variables["AWS_PROFILE"] ?? variables["AWS_DEFAULT_PROFILE"] != nil }

    var profile: AWSProfile? { files.profiles[profileName] }

    /// The region that is configured, if one is.
    var region: String? { variables["AWS_REGION"] ?? setting("AWS_DEFAULT_REGION", "region") }

    var usesFIPS: Bool { isTrue("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint") }
    var usesDualStack: Bool { isTrue("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint") }

    /// The file with the authorities that are believed of AWS's services, in place of the system's.
    var authoritiesFile: FilePath? { setting("AWS_CA_BUNDLE", "ca_bundle").map { FilePath($0) } }

    /// Tries of one call: what AWS's own tools do by default is three.
    var attempts: Int {
        setting("AWS_MAX_ATTEMPTS", "max_attempts").flatMap { Int($0) }.map { min(max($0, 1), 20) } ?? 3
    }

    private func setting(_ variable: String, _ key: String) -> String? { variables[variable] ?? profile?[key] }

    private func isTrue(_ variable: String, _ key: String) -> Bool { setting(variable, key)?.lowercased() == "true" }

    /// Where the metadata service of a machine is.
    func machineEndpoint() throws(RegistryError) -> HTTPURL {
        let name = (variable: "AWS_EC2_METADATA_SERVICE_ENDPOINT", key: "ec2_metadata_service_endpoint")
        let mode = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode")
        let usual = mode?.lowercased() == "ipv6" ? "http://[fd00:ec2::254]/" : "http://169.254.169.254/"
        guard let url = HTTPURL(parsing: setting(name.variable, name.key) ?? usual) else {
            let origin =
                variables[name.variable] == nil ? "\(name.key) of \(profileForPeople)" : name.variable
            throw RegistryError(.configuration, message: "\(origin) is not an http or https address")
        }
        return url
    }

    /// How a bucket of S3 is named in an address.
    enum AddressingStyle: String {
        /// In the host's name at AWS, in the path elsewhere.
        case auto
        case path, virtual
    }

    /// What `addressing_style` says, below `s3` in the profile: there is no variable of AWS's for it.
    func addressingStyle() throws(RegistryError) -> AddressingStyle {
        guard let text = profile?.nested["s3"]?["addressing_style"], !text.isEmpty else { return .auto }
        guard let style = AddressingStyle(rawValue: text.lowercased()) else {
            throw RegistryError(
                .configuration,
                message: "s3 addressing_style of \(profileForPeople) is '\(printable(text, limit: 40))'",
                hint: "it may be auto, path or virtual")
        }
        return style
    }

    private var profileForPeople: String { "the profile '\(printable(profileName))'" }

    /// Where a service is, and how calls to it are signed.
    ///
    /// - Parameter region: of the resource, unless the service has one region only.
    /// - Throws: kind `configuration` for a region or an address that cannot be one.
    func endpoint(
        of service: AWSService, region: String, fips: Bool = false, dualStack: Bool = false
    ) throws(RegistryError) -> AWSEndpoint {
        guard !region.isEmpty, region.utf8.count <= 64, region.wholeMatch(of: /[a-zA-Z0-9][a-zA-Z0-9_-]*/) != nil else {
            throw RegistryError(.configuration, message: "'\(printable(region))' is not the name of an AWS region")
        }
        let standard = AWSEndpoint.standard(
            service, region: region, fips: fips || usesFIPS, dualStack: dualStack || usesDualStack,
            isLegacy: service == .sts && usesLegacySTS)
        guard let (address, origin) = configuredAddress(of: service) else { return standard }
        guard let url = HTTPURL(parsing: address), !url.target.contains("?") else {
            throw RegistryError(
                .configuration, message: "\(origin) is '\(printable(address))', which is not an http or https address")
        }
        return AWSEndpoint(service: service, region: standard.region, url: url)
    }

    /// Whether a service is called at an address of the user's own.
    func hasOwnEndpoint(_ service: AWSService) -> Bool { configuredAddress(of: service) != nil }

    private var usesLegacySTS: Bool {
        setting("AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints")?.lowercased() == "legacy"
    }

    /// An address given in place of AWS's own, and where it is given.
    private func configuredAddress(of service: AWSService) -> (address: String, origin: String)? {
        // Kaniko's own variable, which it also takes before AWS's.
        if service == .s3, let address = variables["S3_ENDPOINT"] { return (address, "S3_ENDPOINT") }
        guard !isTrue("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls") else { return nil }
        for name in ["AWS_ENDPOINT_URL_\(service.configurationName.uppercased())", "AWS_ENDPOINT_URL"] {
            if let address = variables[name] { return (address, name) }
        }
        guard let profile else { return nil }
        if let services = profile["services"],
            let address = files.services[services]?[service.configurationName]?["endpoint_url"]
        {
            return (address, "endpoint_url of the section 'services \(printable(services))'")
        }
        return profile["endpoint_url"].map { ($0, "endpoint_url of \(profileForPeople)") }
    }
}
