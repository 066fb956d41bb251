package import OCI
package import Registry
package import SystemIO
package import SystemPackage

/// All that a build is asked to do: validated once, then only read.
package struct BuildRequest: Sendable {
    /// Where the sources are.
    package enum Source: Sendable {
        case folder(FilePath)
        case git(GitLocation, GitCredentials)
        case archive(ContextArchive)
    }

    /// A context that a Dockerfile may name, or that stands for a base image.
    package enum NamedContext: Sendable {
        case folder(FilePath)
        case layout(FilePath, reference: String?)
        /// An image of a registry, by its reference.
        case image(String)
    }

    /// What the times in the image are.
    package enum Times: Sendable, Hashable {
        /// No later than one instant: the commit's, or the newest file of the context.
        case reproducible
        /// No later than this instant (`SOURCE_DATE_EPOCH`).
        case fixed(Timestamp)
        /// As they happen.
        case now
    }

    package var source: Source
    /// A folder of the source that is the context in place of all of it; it is named from the source's root.
    package var contextSubPath: FilePath?
    package var git: GitSettings
    /// Relative to the context's root, or absolute.
    package var dockerfile: FilePath
    package var target: String?
    /// Whether findings of the build checks fail the build, as they do where the Dockerfile says `check=error=true`.
    package var failsOnFindings: Bool
    package var buildArguments: [(name: String, value: String)]
    package var labels: [(name: String, value: String)]
    /// Of the manifest; of several with one name the last.
    package var annotations: [(name: String, value: String)]
    package var imageFormat: ImageFormat
    /// Whether what the build makes becomes one layer on top of the base.
    package var squashes: Bool
    package var platform: Platform
    package var namedContexts: [String: NamedContext]
    package var times: Times
    /// What `--mount=type=secret` may ask for, by id.
    package var secrets: [String: Secret]
    /// Sockets of SSH agents that `--mount=type=ssh` may ask for, by id.
    package var agents: [String: FilePath]

    package var destinations: [ImageReference]
    package var pushes: Bool
    /// Whether registries are asked before the build starts if the image may be pushed.
    package var checksPushPermission: Bool
    /// Whether a tag that its registry refuses to move is a warning in place of a failure.
    package var ignoresImmutableTags: Bool
    package var tarPath: FilePath?
    package var layoutPath: FilePath?
    /// Written after everything else succeeded.
    package var files = ResultFiles()

    /// Which results of earlier builds may be used.
    package var cache = CachePolicy()
    package var stateDirectory: FilePath
    /// `nil`: the best that works here.
    package var isolation: IsolationChoice?
    package var userNamespace: UserNamespaceUse = .none
    package var registry: RegistrySettings
    /// Of the layers that the build makes.
    package var compression: CompressionPipeline.Format
    /// Compression threads; never changes the bytes.
    package var threads: Int
    /// `PATH`, `HOME`, proxies and the like for the programs that the builder itself runs (git). Never seen by a RUN.
    package var toolEnvironment: [String]

    /// Whose media types the image's documents and layers have; what they say is the same.
    package enum ImageFormat: String, Sendable, CaseIterable {
        case oci, docker
    }

    /// A way to run commands, forced by `--isolation`.
    package enum IsolationChoice: String, Sendable, CaseIterable {
        case overlay, chroot, none
    }

    /// Whether the build is root in a user namespace of its own.
    package enum UserNamespaceUse: Sendable, Hashable {
        /// It was not needed, or not wanted.
        case none
        case entered
        /// It has one id only, and other owners are kept beside the files; why it has no more is for people.
        case enteredWithOneID(String)
        /// It was not allowed, or would not have helped; the reason is for people.
        case refused(String)
    }

    /// How registries are reached.
    package struct RegistrySettings: Sendable {
        package var reach: RegistryReach
        /// A docker configuration in place of those that would be looked for.
        package var authFile: FilePath?
        /// What may answer for a registry that the docker configuration does not name.
        package var automaticCredentials = Set(RegistryCredentials.Automatic.allCases)
        /// Whether a repository that is missing in Amazon ECR is made when the image is pushed to it.
        package var createsRepositories = false
        package var userAgent: String
        /// The environment of whoever runs the build, whole: proxies, certificates, credentials and what the programs need that
        /// hand out credentials. Never seen by a RUN.
        package var environment: [String: String]
        /// Where connections go in place of a host, each as `HOST:PORT:CONNECT-HOST:CONNECT-PORT`; for tests.
        package var connections: [String] = []

        package init(reach: RegistryReach, userAgent: String, environment: [String: String]) {
            self.reach = reach
            self.userAgent = userAgent
            self.environment = environment
        }
    }

    package init(source: Source, stateDirectory: FilePath, platform: Platform, registry: RegistrySettings) {
        self.source = source
        git = GitSettings()
        dockerfile = "Dockerfile"
        failsOnFindings = false
        buildArguments = []
        labels = []
        annotations = []
        imageFormat = .oci
        squashes = false
        self.platform = platform
        namedContexts = [:]
        secrets = [:]
        agents = [:]
        times = .reproducible
        destinations = []
        pushes = true
        checksPushPermission = true
        ignoresImmutableTags = false
        self.stateDirectory = stateDirectory
        self.registry = registry
        compression = .gzip
        threads = 2
        toolEnvironment = []
    }
}

/// What git is given for a private repository, and where it came from.
package struct GitCredentials: Sendable {
    package var username: String?
    package var password: String?
    /// The value of an `Authorization` header that is neither name nor password (`Bearer ...`), in their place.
    var header: String?
    /// For messages: "GIT_TOKEN", "GIT_TOKEN_FILE (/secrets/token)".
    package var origin: String

    package static let none = GitCredentials(username: nil, password: nil, origin: "none")

    /// Whether there is anything to send.
    var areGiven: Bool { username != nil || header != nil }

    package init(username: String?, password: String?, origin: String) {
        self.username = username
        self.password = password
        self.origin = origin
    }
}

extension GitCredentials {
    /// A token as the user name and password that its host expects.
    ///
    /// GitHub takes any name with a token as the password, GitLab wants `oauth2` for OAuth tokens and takes it for its
    /// others, Bitbucket wants `x-token-auth`. `name:token` is taken apart, as people give it to Kaniko.
    package init(token: String, username: String?, host: String?, origin: String) {
        if username == nil, let colon = token.firstIndex(of: ":") {
            self.init(
                username: String(token[..<colon]), password: String(token[token.index(after: colon)...]), origin: origin
            )
            return
        }
        let usual =
            switch host {
            case let host? where host.contains("gitlab"): "oauth2"
            case let host? where host.contains("bitbucket"): "x-token-auth"
            default: "x-access-token"
            }
        self.init(username: username ?? usual, password: token, origin: origin)
    }
}
