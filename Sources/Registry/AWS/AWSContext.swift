import Synchronization
import SystemIO
import SystemPackage

/// What all sources of AWS credentials need.
struct AWSContext: Sendable {
    let variables: AWSVariables
    /// The home of whoever runs this; `nil` when the environment does not say.
    let home: String?
    let clock: AWSClock
    private let clients: AWSClients
    /// Reaches the metadata service of a machine, past every proxy: a second for each request.
    let machine: any HTTPTransport
    /// Reaches the agents of a container's surroundings, past every proxy: two seconds for each request.
    let container: any HTTPTransport
    let programs: ProgramRunner
    let pool: BlockingPool
    let pacing: Pacing

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
        clock = AWSClock(wall: wall, corrects: !variables.isTrue("AWS_DISABLE_CLOCK_SKEW_CORRECTION"))
        clients = AWSClients(transport, clock: clock, pool: pool, pacing: pacing)
        var near = transport
        near.proxy = .init()
        if let bundle = variables["AWS_CA_BUNDLE"] { near.trust.authoritiesFile = FilePath(bundle) }
        near.timeouts.connect = .seconds(1)
        near.timeouts.whole = .seconds(1)
        machine = CurlTransport(pool: pool, settings: near)
        near.timeouts.connect = .seconds(2)
        near.timeouts.whole = .seconds(2)
        container = CurlTransport(pool: pool, settings: near)
    }

    /// What calls AWS's services, with the authorities and the patience that are configured.
    func client(_ configuration: AWSConfiguration) -> AWSClient { clients.client(configuration) }

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

/// The clients for AWS's services: one for each way in which they were to be called so far. Calls of the same way share connections, and
/// wait together.
private final class AWSClients: Sendable {
    private struct Way: Hashable {
        let authoritiesFile: FilePath?
        let attempts: Int
    }

    private let transport: TransportSettings
    private let clock: AWSClock
    private let pool: BlockingPool
    private let pacing: Pacing
    private let known = Mutex<[Way: AWSClient]>([:])

    init(_ transport: TransportSettings, clock: AWSClock, pool: BlockingPool, pacing: Pacing) {
        self.transport = transport
        self.clock = clock
        self.pool = pool
        self.pacing = pacing
    }

    func client(_ configuration: AWSConfiguration) -> AWSClient {
        let way = Way(authoritiesFile: configuration.authoritiesFile, attempts: configuration.attempts)
        return known.withLock { known in
            if let client = known[way] { return client }
            var settings = transport
            // AWS's tools use this bundle for AWS alone, and in place of the system's.
            if let file = way.authoritiesFile { settings.trust.authoritiesFile = file }
            var policy = RetryPolicy.standard
            policy.attempts = way.attempts
            let client = AWSClient(
                transport: CurlTransport(pool: pool, settings: settings), clock: clock,
                retrier: Retrier(policy: policy, pacing: pacing))
            known[way] = client
            return client
        }
    }
}
