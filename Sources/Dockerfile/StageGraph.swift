/// The stages that a target needs, what each is built on, and what each takes files from.
///
/// A stage can refer only to stages before it, so the order of the Dockerfile is an order of execution and no cycle
/// can exist.
package struct StageGraph: Sendable {
    package enum Base: Hashable, Sendable {
        case scratch
        case stage(Int)
        /// `platform` as `--platform` says; `nil` for the target's.
        case image(String, platform: String?)
    }

    /// What `COPY --from` or a mount's `from` names.
    package enum Reference: Hashable, Sendable {
        case scratch
        case stage(Int)
        /// A named context or an image.
        case image(String)
    }

    package struct Node: Sendable {
        package var stage: Stage
        package var base: Base
        /// The expanded value of `--platform`, whatever the base.
        package var platform: String?
        /// What the ONBUILDs of a base stage of the same file add before this stage's instructions.
        package var triggers: [Instruction]
        /// The stages whose results this one needs, in rising order.
        package var dependencies: [Int]
    }

    package let target: Int
    package let global: GlobalScope
    /// The needed stages by index.
    package private(set) var nodes: [Int: Node] = [:]

    private let stages: [Stage]
    /// The last stage of each name.
    private var lastOfName: [String: Int] = [:]
    /// Every stage of each name, in rising order.
    private var allOfName: [String: [Int]] = [:]
    /// Stages in whose place a named context stands, and its name.
    private var replaced: [Int: String] = [:]

    /// Finds what `target` needs: a stage's name in any case, or `nil` for the last stage. `TARGETSTAGE` is added to the
    /// automatic arguments. A stage with the name of one of the named `contexts` is an image to all others.
    ///
    /// - Throws: for an unknown target, and for a needed stage whose FROM is empty once expanded, or that refers to
    ///   itself, to a later stage, or to a stage number that does not exist. Stages that are not needed are not looked at.
    package init(
        _ dockerfile: Dockerfile, target: String? = nil, arguments: BuildArguments = BuildArguments(),
        contexts: [String] = []
    ) throws(DockerfileError) {
        stages = dockerfile.stages
        let contexts = Dictionary(contexts.map { ($0.lowercased(), $0) }) { first, _ in first }
        for stage in stages {
            guard let name = stage.name else { continue }
            replaced[stage.index] = contexts[name]
            lastOfName[name] = stage.index
            allOfName[name, default: []].append(stage.index)
        }
        if let target {
            guard let index = lastOfName[target.lowercased()] else {
                throw Self.unknownTarget(target, names: lastOfName.keys.sorted())
            }
            self.target = index
        } else {
            self.target = stages.count - 1
        }
        var arguments = arguments
        if arguments.automatic["TARGETSTAGE"] == nil { arguments.automatic["TARGETSTAGE"] = target ?? "default" }
        global = try GlobalScope(dockerfile, arguments: arguments)
        try require([self.target])
    }

    /// The needed stages in an order in which each comes after those it depends on.
    package var order: [Int] { nodes.keys.sorted() }

    /// The needed stages that take something from the stage `index`, in order.
    package func dependents(of index: Int) -> [Int] {
        order.filter { nodes[$0]?.dependencies.contains(index) == true }
    }

    /// Adds instructions that were not in the Dockerfile: the ONBUILD triggers of a base image.
    ///
    /// - Returns: the stages that are needed since now, in order.
    /// - Throws: for a reference that the stage may not make.
    @discardableResult
    package mutating func require(
        _ instructions: [Instruction], in index: Int
    ) throws(DockerfileError) -> [Int] {
        let before = Set(nodes.keys)
        let added = try dependencies(of: instructions, in: index)
        try require(added)
        if var node = nodes[index] {
            node.dependencies = Set(node.dependencies + added).sorted()
            nodes[index] = node
        }
        return order.filter { !before.contains($0) }
    }

    /// The stages that these instructions of the stage `index` take files from, in rising order.
    ///
    /// - Throws: as `reference(_:in:allowsIndex:)`.
    package func dependencies(of instructions: [Instruction], in index: Int) throws(DockerfileError) -> [Int] {
        var result: Set<Int> = []
        for instruction in instructions {
            switch instruction.kind {
            case .copy(let copy):
                guard let from = copy.from else { continue }
                if case .stage(let stage) = try reference(from, in: index) { result.insert(stage) }
            case .run(let run):
                for mount in run.mounts {
                    guard let from = mount.from else { continue }
                    let word = Word(from, range: mount.range)
                    if case .stage(let stage) = try reference(word, in: index, allowsIndex: false) {
                        result.insert(stage)
                    }
                }
            default:
                continue
            }
        }
        return result.sorted()
    }

    /// What a `from` in the stage `index` means.
    ///
    /// - Parameters:
    ///   - from: a stage's name in any case, a stage's number, or an image.
    ///   - index: the stage that the instruction stands in.
    ///   - allowsIndex: true for COPY; in a mount, a number is an image's name.
    /// - Returns: the stage, or else scratch or an image.
    /// - Throws: if it is this stage, a later one, or a number that no stage has.
    package func reference(
        _ from: Word, in index: Int, allowsIndex: Bool = true
    ) throws(DockerfileError) -> Reference {
        let name = from.text.lowercased()
        guard !name.isEmpty else { throw DockerfileError("'from' is empty", at: from.range) }
        var found = lastOfName[name]
        if allowsIndex, found == nil, name.utf8.allSatisfy(\.isDigit) {
            guard let number = Int(name), number < stages.count else {
                throw DockerfileError(
                    "there is no stage \(name)", at: from.range,
                    hint: "stages are counted from 0 to \(stages.count - 1)")
            }
            found = number
        }
        guard let found else { return name == "scratch" ? .scratch : .image(from.text) }
        if let context = replaced[found] { return .image(context) }
        guard found != index else {
            throw DockerfileError("the stage '\(from.text)' refers to itself", at: from.range)
        }
        guard found < index else {
            throw DockerfileError(
                "the stage '\(from.text)' is not defined yet", at: from.range,
                hint: "it begins in line \(stages[found].range.start.line); a stage can use only stages before it")
        }
        return .stage(found)
    }

    /// The stage before the stage `index` that was probably meant with a name that is no stage's: the name has the form of
    /// one, is near to one, and no other FROM uses an image of that name.
    package func suggestion(forImage name: String, in index: Int) -> String? {
        guard Stage.isName(name), stages.allSatisfy({ $0.index == index || !$0.isBuilt(onImage: name) }) else {
            return nil
        }
        let earlier = allOfName.filter { $0.value.contains { $0 < index } }.keys
        return Suggestion.nearest(to: name, in: earlier.sorted())
    }

    private mutating func require(_ indices: [Int]) throws(DockerfileError) {
        var pending = indices
        while let index = pending.popLast() {
            guard nodes[index] == nil else { continue }
            let node = try node(index)
            nodes[index] = node
            pending += node.dependencies
        }
    }

    private func node(_ index: Int) throws(DockerfileError) -> Node {
        let stage = stages[index]
        let (base, platform) = try base(of: stage)
        var triggers: [Instruction] = []
        var needed: Set<Int> = []
        if case .stage(let parent) = base {
            needed.insert(parent)
            for instruction in stages[parent].instructions {
                guard case .onbuild(let onbuild) = instruction.kind else { continue }
                triggers.append(try Instruction.parse(trigger: onbuild.trigger, at: stage.range))
            }
        }
        needed.formUnion(try dependencies(of: triggers, in: index))
        needed.formUnion(try dependencies(of: stage.instructions, in: index))
        return Node(
            stage: stage, base: base, platform: platform, triggers: triggers, dependencies: needed.sorted())
    }

    private func base(of stage: Stage) throws(DockerfileError) -> (Base, platform: String?) {
        let name = try global.expand(stage.base)
        guard !name.isEmpty else {
            throw DockerfileError(
                "FROM: '\(stage.base.text)' expands to nothing", at: stage.base.range,
                hint: "FROM sees only an ARG before the first FROM; give it a default or --build-arg")
        }
        var platform: String?
        if let written = stage.platform {
            let text = try global.expand(written)
            guard !text.isEmpty else {
                throw DockerfileError(
                    "FROM: the platform '\(written.text)' expands to nothing", at: written.range,
                    hint: "FROM sees only an ARG before the first FROM; give it a default or --build-arg")
            }
            platform = text
        }
        // The nearest stage before this one; a number is never a stage here.
        if let earlier = Self.last(of: allOfName[name.lowercased()] ?? [], before: stage.index) {
            return (replaced[earlier].map { .image($0, platform: platform) } ?? .stage(earlier), platform)
        }
        return (name == "scratch" ? .scratch : .image(name, platform: platform), platform)
    }

    /// The last of the rising indices that is below `limit`.
    private static func last(of indices: [Int], before limit: Int) -> Int? {
        var low = 0
        var high = indices.count
        while low < high {
            let middle = (low + high) / 2
            if indices[middle] < limit { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? indices[low - 1] : nil
    }

    private static func unknownTarget(_ target: String, names: [String]) -> DockerfileError {
        let known =
            names.isEmpty
            ? "no stage has a name; write FROM <image> AS <name>"
            : "the stages are \(names.prefix(20).joined(separator: ", "))"
        return DockerfileError(
            "there is no stage '\(target)' to build", hint: Suggestion.hint(for: target, in: names) ?? known)
    }
}
