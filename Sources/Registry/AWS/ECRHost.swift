// https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html

/// A registry of Amazon's, known by its name.
struct ECRHost: Sendable, Hashable {
    enum Kind: Sendable, Hashable {
        /// Of one account in one region.
        case privateRegistry(account: String)
        /// `public.ecr.aws`.
        case publicGallery
    }

    let kind: Kind
    let region: String
    let usesFIPS: Bool
    let usesDualStack: Bool

    /// - Parameter registry: host, or host and port 443; `nil` for any other registry, also for names that only begin like ECR's.
    init?(_ registry: String) {
        var host = registry.lowercased()
        if host.hasSuffix(":443") { host.removeLast(4) }
        if host == "public.ecr.aws" || host == "ecr-public.aws.com" {
            self.init(
                kind: .publicGallery, region: "us-east-1", usesFIPS: false, usesDualStack: host != "public.ecr.aws")
            return
        }
        guard let match = host.wholeMatch(of: ECRHost.pattern) else { return nil }
        self.init(
            kind: .privateRegistry(account: String(match.account)), region: String(match.region),
            usesFIPS: match.fips != nil, usesDualStack: match.suffix.hasPrefix("on."))
    }

    private init(kind: Kind, region: String, usesFIPS: Bool, usesDualStack: Bool) {
        self.kind = kind
        self.region = region
        self.usesFIPS = usesFIPS
        self.usesDualStack = usesDualStack
    }

    nonisolated(unsafe) private static let pattern =
        /(?<account>\d{12})\.dkr[.-]ecr(?<fips>-fips)?\.(?<region>[a-z0-9][a-z0-9_-]*)\.(?<suffix>amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|on\.aws|on\.amazonwebservices\.com\.cn|on\.amazonwebservices\.eu|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)/

    var isPublic: Bool { kind == .publicGallery }

    /// The account, for a private registry.
    var account: String? {
        guard case .privateRegistry(let account) = kind else { return nil }
        return account
    }

    /// ECR's limit (bytes). https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
    var longestLayer: Int64 { (isPublic ? 10_000 : 52_000) * 1024 * 1024 }

    /// The name that ECR has for the repository at this path: the public gallery puts an alias of the account in front.
    func repositoryName(_ path: String) -> String {
        guard isPublic, let slash = path.firstIndex(of: "/") else { return path }
        return String(path[path.index(after: slash)...])
    }
}
