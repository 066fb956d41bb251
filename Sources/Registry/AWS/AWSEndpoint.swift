// https://docs.aws.amazon.com/general/latest/gr/ecr.html
// https://docs.aws.amazon.com/general/latest/gr/s3.html
// https://docs.aws.amazon.com/general/latest/gr/sts.html

/// The services of AWS that are called here.
enum AWSService: Sendable, Hashable {
    case ecr, ecrPublic, s3, sts

    /// In signatures.
    var signingName: String {
        switch self {
        case .ecr: "ecr"
        case .ecrPublic: "ecr-public"
        case .s3: "s3"
        case .sts: "sts"
        }
    }

    /// In `AWS_ENDPOINT_URL_...` and in `services` sections.
    var configurationName: String {
        switch self {
        case .ecr: "ecr"
        case .ecrPublic: "ecr_public"
        case .s3: "s3"
        case .sts: "sts"
        }
    }
}

/// Where a service is called, and with which region calls are signed.
struct AWSEndpoint: Sendable, Hashable {
    let service: AWSService
    let region: String
    let url: HTTPURL

    /// AWS's own address.
    ///
    /// - Parameter isLegacy: whether STS is called at its one global address where that exists for the region.
    static func standard(
        _ service: AWSService, region: String, fips: Bool, dualStack: Bool, isLegacy: Bool = false
    ) -> AWSEndpoint {
        let region = service == .ecrPublic ? "us-east-1" : region.lowercased()
        let partition = AWSPartition(region: region)
        var signed = region
        let host: String
        switch service {
        case .ecr where dualStack:
            host = "\(fips ? "ecr-fips" : "ecr").\(region).\(partition.dualStackSuffix)"
        case .ecr where fips:
            // The partitions of the documentation's table have the name without "api.", the others only with it.
            let isListed = partition.suffix == "amazonaws.com"
            host = "\(isListed ? "" : "api.")ecr-fips.\(region).\(partition.suffix)"
        case .ecr: host = "api.ecr.\(region).\(partition.suffix)"
        // There is no FIPS address of this one.
        case .ecrPublic where dualStack: host = "ecr-public.us-east-1.\(partition.dualStackSuffix)"
        case .ecrPublic: host = "api.ecr-public.us-east-1.\(partition.suffix)"
        // S3 has its own name for the addresses that also speak IPv6.
        case .s3: host = "s3\(fips ? "-fips" : "")\(dualStack ? ".dualstack" : "").\(region).\(partition.suffix)"
        case .sts where dualStack: host = "\(fips ? "sts-fips" : "sts").\(region).\(partition.dualStackSuffix)"
        // In GovCloud the usual address is a FIPS address.
        case .sts where fips && !region.hasPrefix("us-gov-"): host = "sts-fips.\(region).\(partition.suffix)"
        case .sts where isLegacy && AWSEndpoint.legacyRegions.contains(region):
            host = "sts.amazonaws.com"
            signed = "us-east-1"
        case .sts: host = "sts.\(region).\(partition.suffix)"
        }
        // A region of letters, digits and hyphens always makes an address.
        guard let url = HTTPURL(parsing: "https://\(host)/") else { preconditionFailure("\(host) is no host") }
        return AWSEndpoint(service: service, region: signed, url: url)
    }

    /// The regions that STS's global address served before there were regional ones.
    private static let legacyRegions: Set = [
        "ap-northeast-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "aws-global", "ca-central-1",
        "eu-central-1",
        "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1",
        "us-west-2",
    ]
}

/// A part of AWS with accounts and domains of its own.
struct AWSPartition: Sendable {
    /// Domain of the usual addresses.
    let suffix: String
    /// Domain of the addresses that also speak IPv6.
    let dualStackSuffix: String

    init(region: String) {
        (suffix, dualStackSuffix) =
            switch region.split(separator: "-", maxSplits: 2).prefix(2).joined(separator: "-") {
            case let name where name.hasPrefix("cn-"): ("amazonaws.com.cn", "api.amazonwebservices.com.cn")
            case "us-iso": ("c2s.ic.gov", "api.aws.ic.gov")
            case "us-isob": ("sc2s.sgov.gov", "api.aws.scloud")
            case "us-isof": ("csp.hci.ic.gov", "api.aws.hci.ic.gov")
            case "eu-isoe": ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk")
            case let name where name.hasPrefix("eusc-"): ("amazonaws.eu", "api.amazonwebservices.eu")
            default: ("amazonaws.com", "api.aws")
            }
    }
}
