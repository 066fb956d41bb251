import SystemIO
import SystemPackage
import Testing

@testable import Registry

@Suite("settings of AWS's tools")
struct AWSSettingsTests {
    private func configuration(
        _ variables: [String: String] = [:], config: String = "", credentials: String = ""
    ) throws -> AWSConfiguration {
        let scratch = try ScratchDirectory()
        let files = [
            "AWS_CONFIG_FILE": try scratch.write("config", Array(config.utf8)).string,
            "AWS_SHARED_CREDENTIALS_FILE": try scratch.write("credentials", Array(credentials.utf8)).string,
        ]
        let all = AWSVariables(files.merging(variables) { $1 })
        return AWSConfiguration(variables: all, files: try AWSProfileFiles(all, home: nil))
    }

    @Test("the shared files are read as AWS's tools read them")
    func files() throws {
        let both = try configuration(
            config: """
                # a comment\r
                [default]\r
                region = eu-west-2\r
                output=json ; why not
                s3 =
                  addressing_style = path
                \tregion = nested
                [profile "my profile"]
                REGION=us-east-1 # a comment
                aws_secret_access_key = a#b;c
                [profile x ]
                aws_access_key_id = from-config
                region = ap-south-1

                [default]
                output = text
                [sso-session corporate]
                sso_region = us-east-1
                [unprefixed]
                region = nowhere
                [services local]
                ecr =
                  endpoint_url = http://127.0.0.1:1
                """,
            credentials: "[x]\naws_access_key_id = from-credentials\n[two words]\naws_access_key_id=k\n[empty]\n"
        ).files
        #expect(both.profiles["default"]?["region"] == "eu-west-2")
        #expect(both.profiles["default"]?["output"] == "text")
        #expect(both.profiles["my profile"]?["region"] == "us-east-1")
        #expect(both.profiles["my profile"]?["aws_secret_access_key"] == "a#b;c")
        #expect(both.profiles["x"]?["aws_access_key_id"] == "from-credentials")
        #expect(both.profiles["x"]?["region"] == "ap-south-1")
        #expect(both.profiles["two words"]?["aws_access_key_id"] == "k")
        #expect(Set(both.profiles.keys) == ["default", "my profile", "x", "two words", "empty"])
        #expect(both.services["local"]?["ecr"]?["endpoint_url"] == "http://127.0.0.1:1")
        #expect(both.profiles["default"]?.nested["s3"] == ["addressing_style": "path", "region": "nested"])
    }

    @Test(
        "a file that cannot be understood is an error with its line, which is not shown",
        arguments: [
            // A bar stands for a line end, as arguments of tests are shown in the log.
            ("[default]|hunter2", 2), ("key = hunter2", 1), ("[default|", 1), ("[default]||= hunter2|", 3),
        ])
    func malformed(text: String, line: Int) async throws {
        let error = try await failure { _ = try configuration(credentials: text.replacing("|", with: "\n")) }
        #expect(error.kind == .configuration && told(error).contains("line \(line):"))
    }

    @Test("a shared file that is not text, or a folder, is an error with its path")
    func unreadable() async throws {
        let scratch = try ScratchDirectory()
        let binary = try scratch.write("binary", [0x5b, 0xff, 0xfe])
        for path in [binary, scratch.path] {
            let error = try await failure {
                _ = try AWSProfileFiles(AWSVariables(["AWS_CONFIG_FILE": path.string]), home: nil)
            }
            #expect(told(error).contains(path.string))
        }
    }

    @Test("addresses are those of AWS, by partition, FIPS and dual stack")
    func endpoints() throws {
        // The values are those of botocore 1.43 and of AWS's General Reference.
        let cases: [(service: AWSService, region: String, fips: Bool, dual: Bool, host: String)] = [
            (.ecr, "eu-west-2", false, false, "api.ecr.eu-west-2.amazonaws.com"),
            (.ecr, "us-east-1", true, false, "ecr-fips.us-east-1.amazonaws.com"),
            (.ecr, "us-gov-west-1", true, false, "ecr-fips.us-gov-west-1.amazonaws.com"),
            (.ecr, "cn-north-1", true, false, "api.ecr-fips.cn-north-1.amazonaws.com.cn"),
            (.ecr, "us-east-1", false, true, "ecr.us-east-1.api.aws"),
            (.ecr, "us-east-1", true, true, "ecr-fips.us-east-1.api.aws"),
            (.ecr, "cn-north-1", false, false, "api.ecr.cn-north-1.amazonaws.com.cn"),
            (.ecr, "cn-north-1", false, true, "ecr.cn-north-1.api.amazonwebservices.com.cn"),
            (.ecr, "us-iso-east-1", false, false, "api.ecr.us-iso-east-1.c2s.ic.gov"),
            (.ecr, "us-isob-east-1", false, false, "api.ecr.us-isob-east-1.sc2s.sgov.gov"),
            (.ecr, "eu-isoe-west-1", false, false, "api.ecr.eu-isoe-west-1.cloud.adc-e.uk"),
            (.ecr, "us-isof-south-1", false, true, "ecr.us-isof-south-1.api.aws.hci.ic.gov"),
            (.ecr, "eusc-de-east-1", false, false, "api.ecr.eusc-de-east-1.amazonaws.eu"),
            (.ecr, "eusc-de-east-1", false, true, "ecr.eusc-de-east-1.api.amazonwebservices.eu"),
            (.ecrPublic, "us-east-1", false, false, "api.ecr-public.us-east-1.amazonaws.com"),
            (.ecrPublic, "eu-west-2", false, true, "ecr-public.us-east-1.api.aws"),
            (.sts, "eu-west-2", false, false, "sts.eu-west-2.amazonaws.com"),
            (.sts, "us-east-1", true, false, "sts-fips.us-east-1.amazonaws.com"),
            (.sts, "us-gov-west-1", true, false, "sts.us-gov-west-1.amazonaws.com"),
            (.sts, "cn-north-1", false, false, "sts.cn-north-1.amazonaws.com.cn"),
            (.sts, "us-east-1", true, true, "sts-fips.us-east-1.api.aws"),
        ]
        for (service, region, fips, dual, host) in cases {
            let endpoint = AWSEndpoint.standard(service, region: region, fips: fips, dualStack: dual)
            #expect(endpoint.url.text == "https://\(host)/")
            #expect(endpoint.region == (service == .ecrPublic ? "us-east-1" : region))
        }
    }

    @Test("the environment and the profile choose the address, most special first")
    func configuredEndpoints() throws {
        let profile = """
            [default]
            endpoint_url = http://profile.test
            services = local
            region = eu-west-2
            [services local]
            sts =
              endpoint_url = http://sts.profile.test/base
            """
        func host(_ variables: [String: String], _ service: AWSService, config: String = profile) throws -> String {
            try configuration(variables, config: config).endpoint(of: service, region: "eu-west-2").url.text
        }
        #expect(try host([:], .sts) == "http://sts.profile.test/base")
        #expect(try host([:], .ecr) == "http://profile.test/")
        #expect(try host(["AWS_ENDPOINT_URL": "https://all.test"], .sts) == "https://all.test/")
        #expect(
            try host(["AWS_ENDPOINT_URL": "https://all.test", "AWS_ENDPOINT_URL_ECR": "https://e.test"], .ecr)
                == "https://e.test/")
        #expect(try host(["AWS_ENDPOINT_URL_ECR_PUBLIC": "https://p.test"], .ecrPublic) == "https://p.test/")
        #expect(
            try host(["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"], .ecr)
                == "https://api.ecr.eu-west-2.amazonaws.com/")
        #expect(
            try host(["AWS_USE_FIPS_ENDPOINT": "true"], .sts, config: "") == "https://sts-fips.eu-west-2.amazonaws.com/"
        )
        #expect(try host(["AWS_USE_DUALSTACK_ENDPOINT": "TRUE"], .ecr, config: "") == "https://ecr.eu-west-2.api.aws/")
        #expect(try host(["AWS_STS_REGIONAL_ENDPOINTS": "legacy"], .sts, config: "") == "https://sts.amazonaws.com/")
        let legacy = try configuration(["AWS_STS_REGIONAL_ENDPOINTS": "legacy"])
        #expect(try legacy.endpoint(of: .sts, region: "eu-west-2").region == "us-east-1")
        #expect(try legacy.endpoint(of: .sts, region: "eu-south-1").url.host == "sts.eu-south-1.amazonaws.com")
    }

    @Test("what no variable sets is as the profile has it")
    func profileSettings() throws {
        let config = """
            [default]
            region = eu-west-1
            use_fips_endpoint = true
            use_dualstack_endpoint = true
            ca_bundle = /from/profile.pem
            max_attempts = 7
            ec2_metadata_service_endpoint_mode = IPv6
            s3 =
              addressing_style = Virtual
            [profile bare]
            sts_regional_endpoints = legacy
            ec2_metadata_service_endpoint = http://127.0.0.1:9/base
            ignore_configured_endpoint_urls = true
            endpoint_url = http://profile.test
            max_attempts = many
            """
        let whole = try configuration(config: config)
        #expect(whole.region == "eu-west-1" && whole.usesFIPS && whole.usesDualStack)
        #expect(whole.authoritiesFile == "/from/profile.pem" && whole.attempts == 7)
        #expect(try whole.addressingStyle() == .virtual)
        #expect(try whole.machineEndpoint().text == "http://[fd00:ec2::254]/")
        let bare = try configuration(["AWS_PROFILE": "bare"], config: config)
        #expect(bare.region == nil && bare.authoritiesFile == nil && bare.attempts == 3)
        #expect(try bare.addressingStyle() == .auto)
        #expect(try bare.machineEndpoint().text == "http://127.0.0.1:9/base")
        #expect(try bare.endpoint(of: .sts, region: "eu-west-2").url.text == "https://sts.amazonaws.com/")
        let variables = [
            "AWS_REGION": "us-west-2", "AWS_USE_FIPS_ENDPOINT": "false", "AWS_USE_DUALSTACK_ENDPOINT": "no",
            "AWS_CA_BUNDLE": "/from/variable.pem", "AWS_MAX_ATTEMPTS": "99",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv4",
        ]
        let set = try configuration(variables, config: config)
        #expect(set.region == "us-west-2" && !set.usesFIPS && !set.usesDualStack)
        #expect(set.authoritiesFile == "/from/variable.pem" && set.attempts == 20)
        #expect(try set.machineEndpoint().text == "http://169.254.169.254/")
    }

    @Test("an address, region or style that cannot be one is an error that names the variable, or the profile")
    func badEndpoints() async throws {
        let style = try await failure {
            _ = try configuration(config: "[default]\ns3 =\n addressing_style = host\n").addressingStyle()
        }
        #expect(told(style).contains("s3 addressing_style of the profile 'default' is 'host'"))
        let machine = try await failure {
            _ = try configuration(config: "[default]\nec2_metadata_service_endpoint = ftp://x\n").machineEndpoint()
        }
        #expect(told(machine).contains("ec2_metadata_service_endpoint of the profile 'default' is not"))
        let address = try await failure {
            _ = try configuration(["AWS_ENDPOINT_URL_ECR": "ftp://x"]).endpoint(of: .ecr, region: "eu-west-2")
        }
        #expect(told(address).contains("AWS_ENDPOINT_URL_ECR"))
        for region in ["", "eu-west-2.evil.example.com/", "a/b", "x@y"] {
            let error = try await failure { _ = try configuration().endpoint(of: .sts, region: region) }
            #expect(error.kind == .configuration)
        }
    }

    @Test("which hosts are ECR's, and what their names say")
    func hosts() throws {
        let account = "123456789012"
        let cases: [(host: String, region: String?, fips: Bool, dual: Bool)] = [
            ("\(account).dkr.ecr.eu-west-2.amazonaws.com", "eu-west-2", false, false),
            ("\(account).dkr.ecr.EU-WEST-2.amazonaws.com:443", "eu-west-2", false, false),
            ("\(account).dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", true, false),
            ("\(account).dkr-ecr.eu-west-2.on.aws", "eu-west-2", false, true),
            ("\(account).dkr-ecr-fips.us-east-1.on.aws", "us-east-1", true, true),
            ("\(account).dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", false, false),
            ("\(account).dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1", false, true),
            ("\(account).dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", false, false),
            ("\(account).dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", false, false),
            ("\(account).dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", false, false),
            ("\(account).dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1", false, false),
            ("\(account).dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1", false, false),
            ("public.ecr.aws", "us-east-1", false, false), ("ecr-public.aws.com", "us-east-1", false, true),
            ("\(account).dkr.ecr.eu-west-2.amazonaws.com.fake.example.com", nil, false, false),
            ("\(account).dkr.ecr.eu-west-2.amazonaws.com:5000", nil, false, false),
            ("1234.dkr.ecr.eu-west-2.amazonaws.com", nil, false, false), ("x.public.ecr.aws", nil, false, false),
            ("\(account)xdkr.ecr.eu-west-2.amazonaws.com", nil, false, false), ("docker.io", nil, false, false),
            ("evil.com/\(account).dkr.ecr.eu-west-2.amazonaws.com", nil, false, false),
        ]
        for (host, region, fips, dual) in cases {
            let found = ECRHost(host)
            #expect(found?.region == region, "\(host)")
            #expect(found == nil || (found?.usesFIPS == fips && found?.usesDualStack == dual), "\(host)")
        }
        #expect(ECRHost("public.ecr.aws")?.repositoryName("alias/team/app") == "team/app")
        #expect(ECRHost(cases[0].host)?.repositoryName("team/app") == "team/app")
    }

    @Test("a wrong clock is corrected by more than five minutes only")
    func clock() {
        let clock = AWSClock(wall: { .init(seconds: 1_000_000_000) }, corrects: true)
        func head(_ date: String) -> HTTPHead { HTTPHead(status: 200, headers: [(name: "Date", value: date)]) }
        clock.learn(from: head("Sun, 09 Sep 2001 01:48:00 GMT"))
        #expect(clock.correction == 0)
        clock.learn(from: head("Sun, 09 Sep 2001 02:46:40 GMT"))
        #expect(clock.correction == 3600 && clock.now.seconds == 1_000_003_600)
        clock.learn(from: head("nonsense"))
        #expect(clock.correction == 3600)
        clock.learn(from: head("Sun, 09 Sep 2001 01:46:40 GMT"))
        #expect(clock.correction == 0)
        let fixed = AWSClock(wall: { .init(seconds: 1_000_000_000) }, corrects: false)
        fixed.learn(from: head("Sun, 09 Sep 2001 02:46:40 GMT"))
        #expect(fixed.correction == 0)
    }

    @Test("errors of AWS in every form, without the request that some repeat")
    func failures() throws {
        func failure(_ body: String, _ headers: [(name: String, value: String)] = []) throws -> AWSFailure {
            let url = try #require(HTTPURL(parsing: "https://x/"))
            return AWSFailure(
                HTTPResponse(head: HTTPHead(status: 400, headers: headers), body: Array(body.utf8), url: url))
        }
        let cases: [(body: String, code: String, message: String)] = [
            (#"{"__type":"com.amazonaws.ecr#AccessDeniedException","message":"no."}"#, "AccessDeniedException", "no"),
            (#"{"__type":"ServerException","Message":"x"}"#, "ServerException", "x"),
            ("<ErrorResponse><Error><Code>A</Code><Message>b &amp; c</Message></Error></ErrorResponse>", "A", "b & c"),
            ("<html><body>503</body></html>", "", ""), ("", "", ""), ("plain words\nmore", "", "plain words"),
            (
                #"{"__type":"InvalidSignatureException","message":"wrong.\n\nThe Canonical String was\nx-amz-security-token:hunter2"}"#,
                "InvalidSignatureException", "wrong"
            ),
        ]
        for (body, code, message) in cases {
            let found = try failure(body)
            #expect(found.code == code && found.message == message, "\(body)")
        }
        #expect(try failure("{}", [(name: "x-amzn-ErrorType", value: "Throttling:http://x")]).code == "Throttling")
        #expect(try failure(#"{"__type":"ThrottlingException"}"#).isTemporary(status: 400))
        #expect(try !failure(#"{"__type":"AccessDenied"}"#).isTemporary(status: 400))
    }
}
