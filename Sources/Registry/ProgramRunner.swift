import Synchronization
package import SystemIO

/// Runs the programs that configurations name: credential helpers, and what `credential_process` says.
package struct ProgramRunner: Sendable {
    private let pool: BlockingPool
    private let environment: [String]

    /// Both kinds of program may ask a server, and none may hang a build.
    static let timeout = Duration.seconds(60)
    /// Answers are a few KiB (bytes of each stream).
    private static let outputLimit = 1024 * 1024

    /// - Parameter environment: all that the programs get; a program is looked for along its `PATH`.
    package init(pool: BlockingPool, environment: [String: String]) {
        self.pool = pool
        self.environment = environment.map { "\($0.key)=\($0.value)" }.sorted()
    }

    /// How a program ended.
    struct Result: Sendable {
        let isSuccess: Bool
        let status: ProcessStatus
        let output: [UInt8]
        /// What it said on standard error, for people.
        let errorText: String
    }

    /// Runs a program to its end.
    ///
    /// - Parameters:
    ///   - input: what it finds on standard input.
    ///   - what: what people call it.
    /// - Throws: kind `credentials` when it cannot be run or takes longer than `timeout`.
    func run(
        _ arguments: [String], input: [UInt8] = [], what: String, timeout: Duration = ProgramRunner.timeout
    ) async throws(RegistryError) -> Result {
        let cancellation = Cancellation()
        var plan = ProcessPlan(arguments, environment: environment)
        plan.input = .bytes(input)
        let ready = plan
        let captured: Swift.Result<ChildProcess.Captured, SpawnError> = await withTaskCancellationHandler {
            await pool.run {
                do throws(SpawnError) {
                    return .success(
                        try ChildProcess.run(
                            ready, capturing: ProgramRunner.outputLimit, timeout: timeout, cancellation: cancellation,
                            grace: .seconds(1)))
                } catch {
                    return .failure(error)
                }
            }
        } onCancel: {
            cancellation.cancel()
        }
        switch captured {
        case .failure(let error):
            throw RegistryError(
                .credentials, message: "\(what) cannot be run: \(error)",
                hint: error.isOfProgram ? "is it installed, and in the PATH that imgbuild was started with?" : nil)
        case .success(let captured):
            switch captured.ending.interruption {
            case .cancelled?: throw .cancelled()
            case .timedOut?:
                throw RegistryError(
                    .credentials,
                    message: "\(what) did not end within \(timeout.components.seconds) s, and was stopped",
                    hint: "does it wait for somebody to answer a question?")
            case nil: break
            }
            return Result(
                isSuccess: captured.ending.status.isSuccess, status: captured.ending.status, output: captured.output,
                errorText: ProgramRunner.line(captured.error))
        }
    }

    /// What a program said, as one line of at most 1 KiB.
    static func line(_ bytes: [UInt8]) -> String {
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).filter { !$0.isEmpty }
        return printable(lines.joined(separator: "; "), limit: 1024)
    }
}
