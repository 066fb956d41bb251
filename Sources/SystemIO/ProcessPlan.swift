import CSpawn
import Glibc
package import SystemPackage

/// Everything about a process before it exists.
package struct ProcessPlan: Sendable {
    package enum Input: Sendable {
        case null
        case inherit
        /// A descriptor of the caller's, open until the process has started.
        case descriptor(Int32)
        case bytes([UInt8])
    }

    package enum Output: Sendable {
        case null
        case inherit
        /// A descriptor of the caller's, open until the process has started.
        case descriptor(Int32)
        /// Handed on by `ChildProcess.wait`.
        case pipe
    }

    /// The program and its arguments. A program without a slash is looked up along PATH of `environment`, where and as
    /// who the steps have led.
    package var arguments: [String]
    /// `NAME=value`: all that the program gets.
    package var environment: [String]
    package var input: Input = .null
    package var output: Output = .null
    package var error: Output = .null
    package var namespaces: Namespaces = []
    /// With supervision a process of ours stays above the program: it ends what the program leaves behind, and ends all of
    /// it when the builder dies.
    package var supervised = true
    /// What the supervisor does to itself first.
    package var setUpSteps: [SpawnStep] = []
    /// What the program's own process does next.
    package var commandSteps: [SpawnStep] = []

    package init(_ arguments: [String], environment: [String], workingDirectory: FilePath? = nil) {
        self.arguments = arguments
        self.environment = environment
        if let workingDirectory { commandSteps = [.changeDirectory(workingDirectory)] }
    }
}

extension SpawnStep {
    /// Descriptors that must be open when the step is done.
    var descriptors: [Int32] {
        switch self {
        case .changeDirectoryTo(let descriptor), .joinUserNamespace(let descriptor), .filterCalls(_, let descriptor),
            .bind(.descriptor(let descriptor), _, _, _):
            [descriptor]
        default: []
        }
    }
}

/// The two ends of the three standard streams while a process is started.
struct SpawnStreams: ~Copyable {
    let input: OwnedDescriptor
    let output: OwnedDescriptor
    let error: OwnedDescriptor
    private let readers: Readers

    /// Our ends of the pipes that the plan asked for; they do not block.
    struct Readers: ~Copyable, Sendable {
        let output: OwnedDescriptor?
        let error: OwnedDescriptor?
    }

    init(_ plan: ProcessPlan) throws(SystemError) {
        let input = try SpawnStreams.input(plan.input)
        let output = try SpawnStreams.output(plan.output, inherited: 1)
        let error = try SpawnStreams.output(plan.error, inherited: 2)
        self.input = input
        self.output = output.child
        self.error = error.child
        readers = Readers(output: output.reader, error: error.reader)
    }

    /// Closes the child's ends, without which no reader would ever see an end, and gives the readers away.
    consuming func parentEnds() -> Readers {
        readers
    }

    private struct Ends: ~Copyable {
        let child: OwnedDescriptor
        let reader: OwnedDescriptor?
    }

    private static func copy(_ descriptor: Int32) throws(SystemError) -> OwnedDescriptor {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .last("fcntl") }
        return OwnedDescriptor(taking: copy)
    }

    private static func input(_ input: ProcessPlan.Input) throws(SystemError) -> OwnedDescriptor {
        switch input {
        case .null: return try OwnedDescriptor.open("/dev/null", O_RDONLY)
        case .inherit: return try copy(0)
        case .descriptor(let descriptor): return try copy(descriptor)
        case .bytes(let bytes):
            // A file in memory: unlike a pipe it never blocks, whatever the program reads of it.
            let raw = memfd_create("input", UInt32(MFD_CLOEXEC))
            guard raw >= 0 else { throw .last("memfd_create") }
            let file = OwnedDescriptor(taking: raw)
            try file.writeAll(bytes)
            guard lseek(file.raw, 0, SEEK_SET) == 0 else { throw .last("lseek") }
            return file
        }
    }

    private static func output(_ output: ProcessPlan.Output, inherited: Int32) throws(SystemError) -> Ends {
        switch output {
        case .null: return Ends(child: try OwnedDescriptor.open("/dev/null", O_WRONLY), reader: nil)
        case .inherit: return Ends(child: try copy(inherited), reader: nil)
        case .descriptor(let descriptor): return Ends(child: try copy(descriptor), reader: nil)
        case .pipe:
            var ends: (Int32, Int32) = (-1, -1)
            let result = withUnsafeMutableBytes(of: &ends) { raw in
                pipe2(raw.bindMemory(to: Int32.self).baseAddress, O_CLOEXEC)
            }
            guard result == 0 else { throw .last("pipe2") }
            let reader = OwnedDescriptor(taking: ends.0)
            let writer = OwnedDescriptor(taking: ends.1)
            guard fcntl(reader.raw, F_SETFL, O_NONBLOCK) == 0 else { throw .last("fcntl") }
            return Ends(child: writer, reader: reader)
        }
    }
}

/// What a new process says of itself through the status pipe.
enum SpawnRecord {
    case created(FilePath)
    case failed(step: Int, errno: Errno, call: String)
    case started
    case ended(ProcessStatus)

    /// The next record; `nil` at the end of the pipe.
    private static func read(from pipe: borrowing OwnedDescriptor) throws(SystemError) -> SpawnRecord? {
        let size = MemoryLayout<spawn_record>.size
        let header = try bytes(size, from: pipe)
        guard header.count == size else { return nil }
        let record = header.withUnsafeBytes { $0.loadUnaligned(as: spawn_record.self) }
        let text = try bytes(Int(record.length), from: pipe)
        switch spawn_record_kind(UInt32(record.kind)) {
        case SPAWN_CREATED: return .created(FilePath(bytes: text))
        case SPAWN_FAILED:
            return .failed(
                step: Int(record.step), errno: Errno(rawValue: record.value),
                call: String(decoding: text, as: UTF8.self))
        case SPAWN_STARTED: return .started
        default: return .ended(ProcessStatus(waitStatus: record.value))
        }
    }

    private static func bytes(_ count: Int, from pipe: borrowing OwnedDescriptor) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let start = filled
            let got = bytes.withUnsafeMutableBytes {
                Glibc.read(pipe.raw, $0.baseAddress.map { $0 + start }, count - start)
            }
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw .last("read") }
            if got == 0 { return Array(bytes[..<filled]) }
            filled += got
        }
        return bytes
    }

    /// Reads until the program runs; the mount points that were made on the way.
    static func readStart(
        from pipe: borrowing OwnedDescriptor, steps: [SpawnStep], plan: ProcessPlan
    ) throws(SpawnError) -> [FilePath] {
        var created: [FilePath] = []
        while let record = try next(from: pipe) {
            switch record {
            case .created(let path): created.append(path)
            case .started, .ended: return created
            case .failed(let step, let errno, let call):
                let stage: SpawnError.Stage =
                    step < steps.count ? .step(steps[step]) : .execute(plan.arguments.first ?? "")
                throw SpawnError(stage: stage, call: call, errno: errno)
            }
        }
        // exec closed the pipe of a process without a supervisor; a supervisor would have spoken.
        guard plan.supervised else { return created }
        throw SpawnError(stage: .attend, call: "the new process was killed while it was set up", errno: .interrupted)
    }

    private static func next(from pipe: borrowing OwnedDescriptor) throws(SpawnError) -> SpawnRecord? {
        do throws(SystemError) { return try read(from: pipe) } catch { throw SpawnError(error) }
    }

    /// How the program ended, if its supervisor lived to tell.
    static func readEnd(from pipe: borrowing OwnedDescriptor) throws(SystemError) -> ProcessStatus? {
        while let record = try read(from: pipe) {
            if case .ended(let status) = record { return status }
        }
        return nil
    }
}
