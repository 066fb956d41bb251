import Glibc
import SystemPackage
import TestSupport
import Testing

/// The same image in every pod: each row is a pod as `docs/isolation.md` lists it, made by runc.
@Suite("The same image in every pod", .enabled(if: Pod.isPossible, "needs root that may mount, and runc"))
struct PodMatrixTests {
    enum Row: String, CaseIterable, CustomTestStringConvertible {
        case privileged, runtimeDefault, ownUsers, unconfined, ordinaryUser, restricted

        var testDescription: String { rawValue }

        var pod: Pod {
            var pod = Pod()
            switch self {
            case .privileged: (pod.capabilities, pod.seccomp, pod.unmasked) = (.all, .unconfined, true)
            case .runtimeDefault: break
            case .ownUsers: (pod.seccomp, pod.unmasked) = (.unconfined, true)
            case .unconfined: pod.seccomp = .unconfined
            case .ordinaryUser: (pod.uid, pod.seccomp, pod.noNewPrivileges) = (1000, .unconfined, true)
            case .restricted: (pod.uid, pod.noNewPrivileges) = (1000, true)
            }
            return pod
        }

        /// What the log names. Without a RUN it is not named.
        var mode: String {
            switch self {
            case .privileged: "overlay"
            case .ownUsers, .unconfined: "overlay in a user namespace"
            case .runtimeDefault: "chroot"
            case .ordinaryUser: "overlay in a user namespace with one id"
            case .restricted: "none"
            }
        }

        var runs: Bool { mode != "none" }
    }

    struct Example: CustomTestStringConvertible {
        let testDescription: String
        let dockerfile: String
        /// Where else what it shows is known not to work: `docs/isolation.md` says why.
        var rows = Row.allCases
        var runs: Bool { dockerfile.contains("RUN ") }
    }

    static let examples = [
        Example(
            testDescription: "COPY, ADD and WORKDIR onto a base",
            dockerfile: """
                FROM busybox
                WORKDIR /srv/www
                COPY --chown=app:extra --chmod=u+s Dockerfile .
                ADD hello.deb /tmp/
                COPY --from=busybox --chown=33:44 /bin/busybox /home/app/
                USER app
                WORKDIR data
                """),
        Example(
            testDescription: "a package whose script gives its files away, a set-uid program, and another user",
            // busybox's shell prefers its own programs where it finds itself in /proc: names in full.
            dockerfile: """
                FROM busybox
                COPY programs/ /
                COPY hello.deb /
                RUN /usr/bin/dpkg -i /hello.deb && test "$(stat -c %u:%g:%a /opt/hello)" = 33:44:2750
                RUN cp /usr/bin/cat /usr/bin/reveal && chmod 4755 /usr/bin/reveal && echo hidden >/secret && chmod 600 /secret
                USER 1000:1000
                RUN ! /usr/bin/cat /secret 2>/dev/null
                RUN echo mine >/tmp/mine && test "$(stat -c %u:%g /tmp/mine)" = 1000:1000
                """),
        Example(
            testDescription:
                "owners of everything that has one, devices, what folders hand on, and rights by a set-uid program",
            dockerfile: """
                FROM busybox AS base
                COPY programs/ /
                ADD odd.tar /odd/
                RUN test "$(cd /odd && stat -c %n=%u:%g:%a:%F * | tr '\\n' ' ' | tr -d ' ')" = \
                    "device=9:10:640:characterspecialfile"\
                "file=33:44:4755:regularfilelink=5:6:777:symboliclinkpipe=7:8:600:fifoshared=0:50:2775:directory"
                RUN cd /odd && mv file moved && ln moved again && chown -h 11:12 link && mkdir shared/sub && \
                    echo x >shared/new && mknod zero c 1 5 && chown 13:14 zero && chown 70000 moved && test ! -u again
                RUN cp -a /odd /copied && echo hidden >/secret && chmod 600 /secret && \
                    cp /usr/bin/cat /usr/bin/reveal && chmod 4755 /usr/bin/reveal
                USER 1000:1000
                RUN mkdir -m 2755 /tmp/mine && ln -s x /tmp/mine/link && echo y >/tmp/mine/file && mkfifo /tmp/mine/pipe && \
                    chmod 604 /tmp/mine/file && test "$(id -u):$(id -g):$(id -G)" = 1000:1000:1000
                RUN for no in 'echo z >/odd/moved' 'echo z >/odd/new' 'chown 0 /tmp/mine/file' 'chmod 600 /odd/moved' \
                    'rm -f /odd/moved' 'mv /tmp/mine/file /' 'mkdir /new' 'test -w /odd' 'mknod /tmp/node c 1 3' \
                    '/usr/bin/cat /secret'; do ! sh -c "$no" 2>/dev/null || { echo "$no works"; exit 1; }; done
                RUN test "$(/usr/bin/reveal /secret)" = hidden
                FROM busybox
                COPY --from=base --chown=1:2 /odd/shared /shared
                COPY --from=base /odd /tmp/mine /all/
                RUN chown -R 3:4 /all/pipe /all/link && stat -c %u:%g /all/moved
                """,
            rows: [.privileged, .ordinaryUser]),
    ]

    /// This machine's dpkg with what it needs, and a package for it.
    static let packages = """
        mkdir -p programs/sbin programs/var/lib/dpkg/info programs/var/lib/dpkg/updates package/DEBIAN package/opt/hello
        for program in dpkg dpkg-deb dpkg-query dpkg-split tar cat; do
            cp -L --parents /usr/bin/$program programs
            ldd /usr/bin/$program | grep -o '/[^ ]*' | xargs -r cp -nL --parents -t programs
        done
        : > programs/var/lib/dpkg/status
        for program in ldconfig start-stop-daemon; do printf '#!/bin/sh\\n' > programs/sbin/$program; chmod 755 programs/sbin/$program; done
        printf 'Package: hello\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody\\nDescription: greets\\n' > package/DEBIAN/control
        printf '#!/bin/sh\\nset -e\\nchown -R 33:44 /opt/hello\\nchmod 2750 /opt/hello\\n' > package/DEBIAN/postinst
        chmod 755 package/DEBIAN/postinst
        python3 - <<'END'
        import io, tarfile
        with tarfile.open("odd.tar", "w") as tar:
            for name, kind, uid, gid, mode in [
                ("file", tarfile.REGTYPE, 33, 44, 0o4755), ("link", tarfile.SYMTYPE, 5, 6, 0o777), ("pipe", tarfile.FIFOTYPE, 7, 8, 0o600),
                ("device", tarfile.CHRTYPE, 9, 10, 0o640), ("shared", tarfile.DIRTYPE, 0, 50, 0o2775)]:
                entry = tarfile.TarInfo(name)
                entry.type, entry.uid, entry.gid, entry.mode, entry.linkname = kind, uid, gid, mode, "file" if name == "link" else ""
                entry.devmajor, entry.devminor, entry.size = 1, 3, 4 if name == "file" else 0
                tar.addfile(entry, io.BytesIO(b"odd\\n"))
        END
        for i in $(seq 30); do echo $i > package/opt/hello/$i; done
        dpkg-deb --root-owner-group --build package hello.deb
        rm -r package
        """

    @Test("every pod builds what a privileged one builds, or says why it cannot", arguments: examples)
    func matrix(_ example: Example) throws {
        let site = try BuildSite(example.dockerfile)
        try Program.require(["bash", "-euc", Self.packages], in: site.context)
        var expected: String?
        for row in example.rows {
            let build = try build(site, in: row)
            guard row.runs || !example.runs else {
                #expect(build.status == 1 && build.digest == nil, "\(row)")
                #expect(build.log.contains("RUN is not possible with the isolation 'none'"), "\(row): \(build.log)")
                #expect(!build.log.contains("] COPY"), "\(row) begins what it cannot end: \(build.log)")
                continue
            }
            try #require(build.digest != nil, "\(row): \(build.log)")
            if example.runs { #expect(build.log.contains("isolation: \(row.mode)"), "\(row): \(build.log)") }
            expected = expected ?? build.digest
            #expect(build.digest == expected, "\(row)")
        }
    }

    private func build(_ site: BuildSite, in row: Row) throws -> Build {
        var pod = row.pod
        let bases = try BusyboxImage.shared().layout.removingLastComponent()
        pod.shared = [site.folder.path, BuildSite.program.removingLastComponent(), bases]
        // A folder for each row, as an empty pod would have.
        let state = try site.folder.makeDirectory("state-\(row)")
        try Program.require(["chown", "-R", "\(pod.uid)", state.string, site.home.string])
        try Program.require(["chmod", "-R", "a+rX", site.folder.path.string, bases.string])
        return Build(
            try pod.run(
                [BuildSite.program.string] + site.arguments(state: state) + ["--no-push"],
                environment: site.environment()))
    }
}
