/// A place in a Dockerfile that a build check objects to.
package struct CheckFinding: Hashable, Sendable {
    package var check: BuildCheck
    /// One sentence without the place and without a full stop.
    package var message: String
    package var range: SourceRange
    /// What the author may want to do instead.
    package var hint: String?
}

/// What the build checks say of a Dockerfile.
package struct CheckReport: Sendable {
    /// In the order of the text, those that the Dockerfile skips left out.
    package var findings: [CheckFinding] = []
    /// What a build of the target would need; `nil` if the fault is there.
    package var graph: StageGraph?
    /// The first error that a build would meet in the Dockerfile itself.
    package var fault: DockerfileError?
    /// The Dockerfile says `# check=error=true`: findings fail the build.
    package var failsBuild = false

    /// Nothing is said yet.
    package init() {}
}

/// What is known besides the Dockerfile when it is checked.
package struct CheckInputs: Sendable {
    /// The stage to build, in any case. With one, what instructions do is checked only in the stages that it needs;
    /// without one, in all stages.
    package var target: String?
    package var arguments: BuildArguments
    /// The context's `.dockerignore`.
    package var ignored: IgnorePatterns
    /// The name of the file that they are from, for messages.
    package var ignoreFile: String
    /// The base images by the index of their stage; those not here are unknown.
    package var bases: [Int: Base]

    /// What matters of a base image's configuration.
    package struct Base: Sendable {
        /// `NAME=value` texts.
        package var environment: [String]
        /// Whether it has a `Shell`.
        package var hasShell: Bool
        /// Its ONBUILD.
        package var triggers: [String]

        package init(environment: [String], hasShell: Bool = false, triggers: [String] = []) {
            self.environment = environment
            self.hasShell = hasShell
            self.triggers = triggers
        }
    }

    package init(
        target: String? = nil, arguments: BuildArguments = BuildArguments(), ignored: IgnorePatterns = .none,
        ignoreFile: String = ".dockerignore", bases: [Int: Base] = [:]
    ) {
        self.target = target
        self.arguments = arguments
        self.ignored = ignored
        self.ignoreFile = ignoreFile
        self.bases = bases
    }
}

extension Dockerfile {
    /// Carries out the build checks.
    ///
    /// Takes time linear in the text. Where a stage's base image is unknown, a variable that nobody in the Dockerfile
    /// sets may come from it; it is reported only if it is a global ARG that the stage does not declare, has a name that no
    /// image can set, or is near to the name of a variable that is set.
    package func check(_ inputs: CheckInputs = CheckInputs()) -> CheckReport {
        var checker = Checker(self, inputs)
        return checker.run()
    }
}
