import Layers
import OCI
import Registry
import Sandbox
package import SystemIO
import SystemPackage

/// Looks, without building anything, at all that a build needs from where it runs: a place for its state, a way to run commands,
/// credentials and permission for each destination, the source.
package struct Doctor: Sendable {
    /// What was found out about one thing, told without any secret.
    package struct Finding: Sendable {
        /// As "isolation", "registry ghcr.io".
        package let topic: String
        package let text: String
        /// What to do, where something is wrong.
        package let hint: String?
        package let isGood: Bool
    }

    private let request: BuildRequest
    private let cancellation: Cancellation
    private let pool: BlockingPool

    package init(request: BuildRequest, cancellation: Cancellation) {
        self.request = request
        self.cancellation = cancellation
        pool = BlockingPool(width: 4)
    }

    /// Examines everything, whatever fails.
    ///
    /// What the examination made is gone afterwards: the scratch folder, and the uploads that were opened at registries.
    /// - Parameters:
    ///   - includingContext: whether the source is fetched, and its Dockerfile read.
    ///   - tell: told each finding as soon as it is made.
    /// - Returns: whether all is well.
    package func examine(includingContext: Bool, tell: @escaping @Sendable (Finding) -> Void) async -> Bool {
        var isGood = true
        func note(_ finding: Finding) {
            isGood = isGood && finding.isGood
            tell(finding)
        }
        do {
            let state = try StateDirectory(opening: request.stateDirectory)
            let scratch = try state.makeScratch()
            defer { try? scratch.remove() }
            note(good("state folder", "\(request.stateDirectory.printable) can be written"))
            note(await isolation(state, scratch))
            do {
                var settings = request.registry
                settings.createsRepositories = false
                let registries = try Registries(settings, pool: pool) { event in
                    guard case .warning(let text) = event else { return }
                    tell(Finding(topic: "note", text: text, hint: nil, isGood: true))
                }
                for destination in request.pushes ? request.destinations : [] {
                    for finding in await examine(destination, registries) { note(finding) }
                }
                if includingContext { note(await context(scratch, registries)) }
            } catch {
                note(bad("registries", error))
            }
        } catch {
            note(bad("state folder", error))
        }
        return isGood
    }

    private func isolation(_ state: StateDirectory, _ scratch: Scratch) async -> Finding {
        do {
            let probe = try await pool.run { () throws(any Error) in
                try Isolation.probe(
                    in: scratch.path.appending("probe"), usesUserAttributes: state.attributes == .user)
            }
            var refusals = probe.refusals
            if case .refused(let reason) = request.userNamespace, !refusals.isEmpty {
                refusals.insert("overlay in a user namespace: \(reason)", at: 1)
            }
            let place = request.userNamespace.place
            let reasons = refusals.isEmpty ? "" : " (\(refusals.joined(separator: "; ")))"
            guard probe.isolation == .none else {
                let lack =
                    probe.isolation == .chroot ? Sandbox.procRefusal.map { "; /proc is empty for RUN: \($0)" } : nil
                return good("isolation", "\(probe.isolation.rawValue)\(place)\(reasons)\(lack ?? "")")
            }
            return Finding(
                topic: "isolation", text: "no RUN can be carried out here\(reasons)",
                hint: "run as root with a container runtime's usual capabilities, or where users may make namespaces",
                isGood: false)
        } catch {
            return bad("isolation", error)
        }
    }

    /// Who asks, and whether they may push.
    private func examine(_ destination: ImageReference, _ registries: Registries) async -> [Finding] {
        let topic = "registry \(destination.registry)"
        var findings: [Finding] = []
        do {
            let found = try await registries.explain(destination)
            let source =
                found.source.map { "credentials from \($0)" } ?? "no credentials were found: requests go without"
            var identity = found.identity.map { ", in AWS as \($0.arn) (account \($0.account))" } ?? ""
            if let failure = found.identityFailure { identity = "; in AWS as whom, is not known: \(failure)" }
            findings.append(good(topic, source + identity))
        } catch {
            findings.append(bad(topic, error))
        }
        findings.append(await permission(destination, registries, topic))
        return findings
    }

    /// Whether the repository is there, as far as its registry wants it to be, and may be pushed to. Nothing is made.
    private func permission(_ destination: ImageReference, _ registries: Registries, _ topic: String) async -> Finding {
        let repository = destination.repository
        do throws(RegistryError) {
            try await registries.client(for: destination.registry, to: .push).checkPush(to: repository)
            return good(topic, "\(repository) may be pushed to")
        } catch {
            guard request.registry.createsRepositories, error.codes.contains("NAME_UNKNOWN") else {
                return bad(topic, error, doing: "\(repository) cannot be pushed to")
            }
            return good(topic, "\(repository) does not exist; a push makes it (--create-repository)")
        }
    }

    private func context(_ scratch: Scratch, _ registries: Registries) async -> Finding {
        do {
            let folder = try await ContextFolder.make(
                request, registries: registries, scratch: scratch, pool: pool, cancellation: cancellation,
                report: { _ in })
            // Fails where there is no Dockerfile.
            _ = try await pool.run { [request] () throws(any Error) in
                try BuildContext.read(folder, request, report: { _ in })
            }
            return good("context", "it can be read, and has a \(request.dockerfile.printable)")
        } catch {
            return bad("context", error)
        }
    }

    private func good(_ topic: String, _ text: String) -> Finding {
        Finding(topic: topic, text: text, hint: nil, isGood: true)
    }

    private func bad(_ topic: String, _ error: any Error, doing: String = "it cannot be used") -> Finding {
        let error = BuildError(error, doing: doing)
        return Finding(topic: topic, text: error.message, hint: error.hint, isGood: false)
    }
}
