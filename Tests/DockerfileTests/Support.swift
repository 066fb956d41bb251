@testable import Dockerfile

/// The message and place of the error that the body throws; `nil` if it throws none.
func fault(_ body: () throws(DockerfileError) -> Void) -> DockerfileError? {
    do {
        try body()
        return nil
    } catch {
        return error
    }
}

/// The only stage's instructions.
func instructions(_ text: String) throws -> [Instruction] {
    try Dockerfile(parsing: "FROM scratch\n" + text).stages[0].instructions
}

/// The first instruction of a stage of its own.
func instruction(_ text: String) throws -> Instruction.Kind? {
    try instructions(text).first?.kind
}

func copy(_ text: String) throws -> CopyInstruction? {
    guard case .copy(let copy)? = try instruction(text) else { return nil }
    return copy
}

func run(_ text: String) throws -> RunInstruction? {
    guard case .run(let run)? = try instruction(text) else { return nil }
    return run
}

extension FileSource {
    /// The path, or the heredoc's name and body.
    var text: String {
        switch self {
        case .path(let word): word.text
        case .heredoc(let heredoc): "<<\(heredoc.name):\(heredoc.contents)"
        }
    }
}

/// Runs the instructions of a Dockerfile's last stage as a builder would, on a base without environment.
func evaluate(
    _ text: String, given: [String: String] = [:], automatic: [String: String] = [:], base: [String] = []
) throws -> (scope: StageScope, instructions: [Instruction]) {
    let file = try Dockerfile(parsing: text)
    let arguments = BuildArguments(given: given, automatic: automatic)
    let graph = try StageGraph(file, arguments: arguments)
    var scopes: [Int: StageScope] = [:]
    var result: [Instruction] = []
    for index in graph.order {
        guard let node = graph.nodes[index] else { continue }
        var scope = StageScope(global: graph.global, baseEnvironment: base)
        if case .stage(let parent) = node.base, let inherited = scopes[parent] {
            scope = StageScope(inheriting: inherited)
        }
        result = []
        for instruction in node.triggers + node.stage.instructions {
            let expanded = try scope.expanded(instruction)
            try scope.apply(expanded)
            result.append(expanded)
        }
        scopes[index] = scope
    }
    guard let scope = scopes[graph.target] else { throw DockerfileError("no target") }
    return (scope, result)
}

/// A small generator with a fixed seed, so that a failure comes again (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
