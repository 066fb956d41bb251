import ArgumentParser
import Builder
import Glibc
import SystemIO
import SystemPackage

/// Goes on as root of a user namespace where this process may not mount, before anything else of a build is started: then
/// all of it, unpacking and RUN alike, is what root does, with the owners that the image gives.
enum UserNamespaceEntry {
    /// Says to the program that was started again that it was, and who the user is outside.
    private static let marker = "_IMGBUILD_USER_NAMESPACE"
    /// Says why the namespace has one id only, whose owners are kept by `KeepOwnersCommand`.
    static let oneIDMarker = "_IMGBUILD_ONE_ID"

    /// Who the user is, in whatever namespace this is.
    static func userID(_ environment: [String: String]) -> UInt32 {
        environment[marker].flatMap { UInt32($0) } ?? getuid()
    }

    /// Why it was not entered; set before the process has a second thread, and only read from then on.
    nonisolated(unsafe) private static var refusal: String?

    /// What became of it.
    static func use(_ environment: [String: String]) -> BuildRequest.UserNamespaceUse {
        if let reason = environment[oneIDMarker] { return .enteredWithOneID(reason) }
        if environment[marker] != nil { return .entered }
        return refusal.map { .refused($0) } ?? .none
    }

    /// Starts the program again in a user namespace, if that helps and is allowed; else returns. To be called before the
    /// process has a second thread.
    static func enterIfUseful(for command: any UsesStateDirectory) {
        let environment = Environment.current
        guard environment[marker] == nil, !CapabilitySet.effective.contains(.systemAdministration),
            let stateDirectory = try? command.stateDirectoryForNamespace(environment)
        else { return }
        var again = environment
        again[marker] = "\(getuid())"
        var refusals: [String] = []
        for way in ways(environment) {
            if !refusals.isEmpty { again[oneIDMarker] = refusals.joined(separator: "; ") }
            let lines = again.map { "\($0.key)=\($0.value)" }.sorted()
            do throws(UserNamespace.Refusal) {
                let keeper = try enter(way, stateDirectory, lines)
                let failure = UserNamespace.restart(arguments: CommandLine.arguments, environment: lines)
                withExtendedLifetime(keeper) {}
                // In the namespace without the rights of a new start, and with no way back.
                ConsoleReporter(verbosity: .error).fail(
                    BuildError("imgbuild cannot start itself again: \(failure)"), name: "")
                exit(1)
            } catch {
                refusals.append(error.description)
            }
        }
        refusal = refusals.joined(separator: "; with one id: ")
    }

    /// The mappings to try, best first.
    private static func ways(_ environment: [String: String]) -> [UserNamespace.Mapper] {
        if CapabilitySet.effective.isSuperset(of: [.setUserID, .setGroupID]), geteuid() == 0 { return [.own] }
        return [
            .programs(path: environment["PATH"] ?? "/usr/bin:/bin"),
            .single(keeper: ProcessPlan(["/proc/self/exe", KeepOwnersCommand.name], environment: [])),
        ]
    }

    private static func enter(
        _ mapper: UserNamespace.Mapper, _ stateDirectory: FilePath, _ environment: [String]
    ) throws(UserNamespace.Refusal) -> AnyObject? {
        var probe = ProcessPlan(
            ["/proc/self/exe", OverlayProbeCommand.name, stateDirectory.string], environment: environment)
        probe.supervised = false
        let users: [UserNamespace.Range]
        let groups: [UserNamespace.Range]
        let uid = getuid()
        switch mapper {
        case .own:
            // Root of a container that may not mount: its own ids, all of them.
            users = UserNamespace.sameRanges(in: contents("/proc/self/uid_map"))
            groups = UserNamespace.sameRanges(in: contents("/proc/self/gid_map"))
        case .programs:
            let name = getpwuid(uid).flatMap { $0.pointee.pw_name }.map { String(cString: $0) }
            guard
                let givenUsers = UserNamespace.ranges(for: uid, user: name, uid: uid, in: contents("/etc/subuid")),
                let givenGroups = UserNamespace.ranges(
                    for: getgid(), user: name, uid: uid, in: contents("/etc/subgid"))
            else {
                throw UserNamespace.Refusal(
                    description: "/etc/subuid and /etc/subgid give no ids to \(name ?? "the user") (\(uid))")
            }
            (users, groups) = (givenUsers, givenGroups)
        case .single:
            users = [UserNamespace.Range(inside: 0, outside: geteuid(), count: 1)]
            groups = [UserNamespace.Range(inside: 0, outside: getegid(), count: 1)]
        }
        return try UserNamespace.enter(users: users, groups: groups, mapper: mapper, probe: probe)
    }

    private static func contents(_ path: FilePath) -> [UInt8] {
        // Bytes: a line for each user of a large site.
        (try? OwnedDescriptor.open(path, O_RDONLY).readAll(limit: 16 << 20)) ?? []
    }
}

/// The trial in the namespace, before it is entered.
struct OverlayProbeCommand: ParsableCommand {
    static let name = "probe-overlay"
    static let configuration = CommandConfiguration(
        commandName: name, abstract: "Tries whether overlay isolation works in this process.", shouldDisplay: false)

    @Argument var stateDirectory: String

    func run() throws {
        let refusal: String?
        do {
            refusal = try IsolationChooser.overlayRefusal(
                stateDirectory: FilePath(stateDirectory),
                keepsOwners: Environment.current[UserNamespaceEntry.oneIDMarker] != nil)
        } catch {
            refusal = "\(error)"
        }
        guard let refusal else { return }
        let line = Array("\(refusal)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        throw ExitCode(1)
    }
}

/// Keeps owners for the build that has started it, whose calls come through its standard input.
struct KeepOwnersCommand: ParsableCommand {
    static let name = "keep-owners"
    static let configuration = CommandConfiguration(
        commandName: name, abstract: "Keeps the owners of files in a user namespace with one id.", shouldDisplay: false)

    func run() throws {
        try KeptOwners.serve(socket: STDIN_FILENO)
    }
}
