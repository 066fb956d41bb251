// https://docs.aws.amazon.com/AmazonECR/latest/userguide/common-errors.html

extension RegistryError {
    /// The same failure with what helps against it in Amazon ECR.
    ///
    /// - Parameter source: where the credentials came from that went along.
    func explained(
        by host: ECRHost, method: HTTPRequest.Method, _ repository: String, _ source: CredentialSource?
    ) -> RegistryError {
        let said = message.lowercased()
        if codes.contains("NAME_UNKNOWN") {
            return with(hint: RegistryError.creationHint(host, repository))
        }
        if codes.contains("TOOMANYREQUESTS") || said.contains("rate exceeded") || said.contains("throttl") {
            return with(hint: "ECR limits the rate of requests of an account", isTemporary: true)
        }
        if said.contains("authorization token has expired") || said.contains("authorization token is invalid") {
            return with(hint: RegistryError.loginHint(source))
        }
        if let action = said.firstMatch(of: /not authorized to perform: (ecr[a-z-]*:[a-z]+)/)?.1 {
            // The message has it in its own case.
            let name = message.firstMatch(of: /(?i)perform: (ecr[a-z-]*:[a-z]+)/).map { String($0.1) } ?? String(action)
            return with(hint: "allow \(name) on the repository '\(repository)' for this identity (docs/ecr.md)")
        }
        if said.contains("kmsexception") || said.contains("kms key") {
            return with(hint: "the repository's encryption key (KMS) does not let this identity, or ECR, use it")
        }
        if said.contains("limitexceeded") || said.contains("quota") || said.contains("limit exceeded") {
            return with(hint: "a quota of ECR is reached: remove old images by a lifecycle policy, or ask AWS for more")
        }
        switch status {
        case nil where kind == .credentials: return with(hint: RegistryError.loginHint(source))
        case 400? where ["manifest type", "child manifest"].contains { said.contains($0) }:
            return with(hint: "ECR takes images and indexes of images, and no index that holds layers")
        case 403? where method == .put:
            return with(
                hint: "allow ecr:PutImage on the repository '\(repository)' (docs/ecr.md); "
                    + "the quota of images in a repository may be reached, too")
        case 403?:
            return with(
                hint:
                    "allow this identity what docs/ecr.md lists, on the repository '\(repository)' of \(host.account ?? "the gallery")"
            )
        default: return self
        }
    }

    private static func creationHint(_ host: ECRHost, _ repository: String) -> String {
        let name = host.repositoryName(repository)
        let label = String(name.map { $0.isLetter || $0.isNumber ? $0 : "_" })
        guard !host.isPublic else {
            return "create it: aws ecr-public create-repository --repository-name \(name) --region us-east-1 "
                + "(Terraform: resource \"aws_ecrpublic_repository\" \"\(label)\" { repository_name = \"\(name)\" }), "
                + "or let imgbuild do it with --create-repository"
        }
        return "create it: aws ecr create-repository --repository-name \(name) --region \(host.region) "
            + "(Terraform: resource \"aws_ecr_repository\" \"\(label)\" { name = \"\(name)\" }), "
            + "or let imgbuild do it with --create-repository"
    }

    private static func loginHint(_ source: CredentialSource?) -> String {
        switch source {
        case .ecr?:
            "the login was made just now: is the registry of another partition, or a proxy in the way?"
        case .dockerConfig?:
            "a login that docker wrote for ECR ends after 12 hours: remove the entry, and imgbuild makes its own "
                + "with your AWS credentials (docs/ecr.md)"
        case .helper?, .named?:
            "logins to ECR end after 12 hours: renew it, or leave it away and give AWS credentials (docs/ecr.md)"
        case nil: "give AWS credentials (docs/ecr.md)"
        }
    }
}
