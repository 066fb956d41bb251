// https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md (config)

/// The defaults that a container of the image starts with.
package struct ContainerConfig: Hashable, Sendable, Codable {
    package var user: String?
    /// Keys as `8080/tcp`.
    package var exposedPorts: [String: Empty]?
    /// `NAME=value`, in the order of their first assignment.
    package var env: [String]?
    package var entrypoint: [String]?
    package var cmd: [String]?
    package var volumes: [String: Empty]?
    package var workingDir: String?
    package var labels: [String: String]?
    package var stopSignal: String?
    package var healthcheck: Healthcheck?
    package var onBuild: [String]?
    package var shell: [String]?
    package var argsEscaped: Bool?

    enum CodingKeys: String, CodingKey {
        case user = "User"
        case exposedPorts = "ExposedPorts"
        case env = "Env"
        case entrypoint = "Entrypoint"
        case cmd = "Cmd"
        case volumes = "Volumes"
        case workingDir = "WorkingDir"
        case labels = "Labels"
        case stopSignal = "StopSignal"
        case healthcheck = "Healthcheck"
        case onBuild = "OnBuild"
        case shell = "Shell"
        case argsEscaped = "ArgsEscaped"
    }

    package init() {}

    /// The empty object that a set is written with: `{"80/tcp": {}}`.
    package struct Empty: Hashable, Sendable, Codable {
        package init() {}
    }

    /// How Docker asks a container whether it is well. Times are in nanoseconds, 0 means Docker's default.
    package struct Healthcheck: Hashable, Sendable, Codable {
        package var test: [String]?
        package var interval: Int64?
        package var timeout: Int64?
        package var startPeriod: Int64?
        package var startInterval: Int64?
        package var retries: Int?

        enum CodingKeys: String, CodingKey {
            case test = "Test"
            case interval = "Interval"
            case timeout = "Timeout"
            case startPeriod = "StartPeriod"
            case startInterval = "StartInterval"
            case retries = "Retries"
        }

        package init(
            test: [String], interval: Int64? = nil, timeout: Int64? = nil, startPeriod: Int64? = nil,
            startInterval: Int64? = nil, retries: Int? = nil
        ) {
            self.test = test
            self.interval = interval
            self.timeout = timeout
            self.startPeriod = startPeriod
            self.startInterval = startInterval
            self.retries = retries
        }
    }
}
