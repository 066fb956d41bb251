import SystemIO
import SystemPackage

/// What all sources of AWS credentials need.
struct AWSContext: Sendable {
    let variables: AWSVariables
    /// The home of whoever runs this; `nil` when the environment does not say.
    let home: String?
    let client: AWSClient
    /// Reaches the metadata service of a machine, past every proxy: a second for each request.
    let machine: any HTTPTransport
    /// Reaches the agents of a container's surroundings, past every proxy: two seconds for each request.
    let container: any HTTPTransport
    let programs: ProgramRunner
    let pool: BlockingPool
    let pacing: Pacing

    var clock: AWSClock { client.clock }

    /// - Parameter transport: how AWS's services are reached.
    init(
        variables: AWSVariables, home: String?, transport: TransportSettings, programs: ProgramRunner,
        pool: BlockingPool, pacing: Pacing, wall: @escaping @Sendable () -> Timestamp = { .now }
    ) {
        self.variables = variables
        self.home = home
        self.programs = programs
        self.pool = pool
        self.pacing = pacing
        var services = transport
        // AWS's tools use this bundle for AWS alone, and in place of the system's.
        if let bundle = variables["AWS_CA_BUNDLE"] { services.trust.authoritiesFile = FilePath(bundle) }
        let clock = AWSClock(wall: wall, corrects: !variables.isTrue("AWS_DISABLE_CLOCK_SKEW_CORRECTION"))
        client = AWSClient(
            transport: CurlTransport(pool: pool, settings: services), clock: clock,
            retrier: Retrier(policy: AWSClient.policy(variables), pacing: pacing))
        services.proxy = .init()
        services.timeouts.connect = .seconds(1)
        services.timeouts.whole = .seconds(1)
        machine = CurlTransport(pool: pool, settings: services)
        services.timeouts.connect = .seconds(2)
        services.timeouts.whole = .seconds(2)
        container = CurlTransport(pool: pool, settings: services)
    }

    /// Reads the shared files, anew each time: they are replaced while builds run.
    func configuration() async throws(RegistryError) -> AWSConfiguration {
        let files = try await pool.run { [variables, home] () throws(RegistryError) in
            try AWSProfileFiles(variables, home: home)
        }
        return AWSConfiguration(variables: variables, files: files)
    }

    /// Reads a short file that others write, as a token: without the line ends around it.
    func token(in path: String, named variable: String) async throws(RegistryError) -> String {
        try await pool.run { () throws(RegistryError) in try SecretFile.read(path, named: variable) }
    }
}
