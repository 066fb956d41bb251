/// A build check: a rule about Dockerfiles that are valid and yet probably not what their author wants.
///
/// The names are those of BuildKit's checks, so that directives written for it mean the same here.
package enum BuildCheck: String, CaseIterable, Hashable, Sendable {
    case stageNameCasing = "StageNameCasing"
    case fromAsCasing = "FromAsCasing"
    case noEmptyContinuation = "NoEmptyContinuation"
    case consistentInstructionCasing = "ConsistentInstructionCasing"
    case duplicateStageName = "DuplicateStageName"
    case reservedStageName = "ReservedStageName"
    case jsonArgsRecommended = "JSONArgsRecommended"
    case maintainerDeprecated = "MaintainerDeprecated"
    case undefinedArgInFrom = "UndefinedArgInFrom"
    case workdirRelativePath = "WorkdirRelativePath"
    case undefinedVar = "UndefinedVar"
    case multipleInstructionsDisallowed = "MultipleInstructionsDisallowed"
    case legacyKeyValueFormat = "LegacyKeyValueFormat"
    case invalidBaseImagePlatform = "InvalidBaseImagePlatform"
    case redundantTargetPlatform = "RedundantTargetPlatform"
    case secretsUsedInArgOrEnv = "SecretsUsedInArgOrEnv"
    case invalidDefaultArgInFrom = "InvalidDefaultArgInFrom"
    case fromPlatformFlagConstDisallowed = "FromPlatformFlagConstDisallowed"
    case copyIgnoredFile = "CopyIgnoredFile"
    case invalidDefinitionDescription = "InvalidDefinitionDescription"
    case exposeProtoCasing = "ExposeProtoCasing"
    case exposeInvalidFormat = "ExposeInvalidFormat"
    /// Not one of BuildKit's, which refuses such a directive or drops it.
    case invalidCheckDirective = "InvalidCheckDirective"

    /// Whether it is carried out only where `# check=experimental=...` asks for it.
    package var isExperimental: Bool { self == .copyIgnoredFile || self == .invalidDefinitionDescription }

    /// The rule in one sentence.
    package var summary: String {
        switch self {
        case .stageNameCasing: "Names of stages are in lower case."
        case .fromAsCasing: "FROM and AS are in the same case."
        case .noEmptyContinuation: "A continued instruction has no empty lines."
        case .consistentInstructionCasing: "All instructions are in the same case."
        case .duplicateStageName: "Each stage has a name of its own."
        case .reservedStageName: "No stage is named scratch or context."
        case .jsonArgsRecommended: "CMD and ENTRYPOINT have the JSON form, so that signals reach the program."
        case .maintainerDeprecated: "A label names the maintainer, not MAINTAINER."
        case .undefinedArgInFrom: "FROM uses only variables that an ARG before the first FROM declares."
        case .workdirRelativePath: "The first WORKDIR of a stage is absolute."
        case .undefinedVar: "Variables are defined before they are used."
        case .multipleInstructionsDisallowed: "A stage has at most one CMD, one ENTRYPOINT and one HEALTHCHECK."
        case .legacyKeyValueFormat: "ENV and LABEL are written with '='."
        case .invalidBaseImagePlatform: "A base image is made for the platform that is built for."
        case .redundantTargetPlatform: "FROM does not say --platform=$TARGETPLATFORM, which is the default."
        case .secretsUsedInArgOrEnv: "Neither ARG nor ENV holds a secret."
        case .invalidDefaultArgInFrom: "FROM names an image also when no build argument is given."
        case .fromPlatformFlagConstDisallowed: "FROM does not fix a platform."
        case .copyIgnoredFile: "COPY and ADD name no file that .dockerignore leaves out."
        case .invalidDefinitionDescription:
            "A comment directly above ARG or FROM begins with the name that it describes."
        case .exposeProtoCasing: "Protocols in EXPOSE are in lower case."
        case .exposeInvalidFormat: "EXPOSE names no address and no port of the host."
        case .invalidCheckDirective: "A check directive names checks and settings that exist."
        }
    }

    /// The check of this name in any case.
    init?(named name: some StringProtocol) {
        let wanted = name.lowercased()
        guard let check = Self.allCases.first(where: { $0.rawValue.lowercased() == wanted }) else { return nil }
        self = check
    }
}
