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
        /// A base beside busybox: `golang:1`, as an OCI layout.
        var golang: FilePath?
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
                COPY packages/ /
                COPY hello.deb /
                RUN apt-get -y install /hello.deb && test "$(stat -c %u:%g:%a /opt/hello)" = 33:44:2750 && \
                    rm -rf /var/log/apt/* /var/cache/apt/*.bin
                RUN cp /usr/bin/cat /usr/bin/reveal && chmod 4755 /usr/bin/reveal && echo hidden >/secret && chmod 600 /secret
                USER 1000:1000
                RUN ! /usr/bin/cat /secret 2>/dev/null
                RUN echo mine >/tmp/mine && test "$(stat -c %u:%g /tmp/mine)" = 1000:1000
                RUN bash -c 'cat <(echo in) >/dev/null && echo out >/dev/stdout'
                """),
        Example(
            testDescription: "a wheel that pip installs",
            dockerfile: """
                FROM busybox
                COPY python/ *.whl /
                RUN /python3 /pip.zip/pip install --no-index --no-compile --target /srv /hello-1-py3-none-any.whl
                USER 1000
                RUN cd /srv && test "$(/python3 -B -c 'import hello, os; print(os.getuid(), os.access("/srv", os.W_OK))' | tr '\\n' ' ')" = \
                    'hello from Python 1000 False '
                """,
            rows: [.privileged, .runtimeDefault, .ordinaryUser]),
        Example(
            testDescription:
                "owners of everything that has one, devices, what folders hand on, and rights by a set-uid program",
            dockerfile: """
                FROM busybox AS base
                COPY packages/ /
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

    @Test("every pod builds what a privileged one builds, or says why it cannot", arguments: examples)
    func matrix(_ example: Example) throws { try expectSameImages(of: example) }

    @Test(
        "every pod runs a Java program",
        .enabled(if: (try? Program.run(["sh", "-c", "command -v jlink javac"]).status) == 0, "no JDK is installed"))
    func java() throws {
        try expectSameImages(
            of: Example(
                testDescription: "Java",
                dockerfile: """
                    FROM busybox
                    COPY java/ /
                    RUN test "$(/runtime/bin/java -cp / Hello)" = 'hello from /runtime/bin/java'
                    """,
                rows: [.privileged, .runtimeDefault, .ordinaryUser]))
    }

    @Test(
        "every pod builds a Go program",
        .enabled(if: getenv("IMGBUILD_TEST_LARGE") != nil, "make test-large: it takes some minutes"),
        .enabled(if: exists(goImage), "no image golang:1, which make demo makes"))
    func go() throws {
        try expectSameImages(
            of: Example(
                testDescription: "Go",
                dockerfile: """
                    FROM golang:1 AS build
                    WORKDIR /source
                    COPY <<END main.go
                    package main
                    import "net/http"
                    func main() { http.ListenAndServe("127.0.0.1:0", nil) }
                    END
                    RUN CGO_ENABLED=0 GO111MODULE=off go build -trimpath -o /app main.go && rm -rf /root/.cache
                    FROM scratch
                    COPY --from=build --chown=1000 /app /app
                    """,
                rows: [.privileged, .runtimeDefault, .ordinaryUser], golang: Self.goImage))
    }

    static let goImage = FilePath(String(cString: getenv("HOME")) + "/.cache/imgbuild-demo/bases/golang")

    /// What examples copy from: `Tests/Fixtures/pod/context.sh` makes it, once for all.
    private static let context: Result<TemporaryDirectory, any Error> = {
        let folder = Result {
            let folder = try TemporaryDirectory()
            try Program.require(["bash", Fixtures.programs.appending("pod/context.sh").string], in: folder.path)
            return folder
        }
        atexit {
            guard let path = try? PodMatrixTests.context.get().path else { return }
            _ = try? Program.run(["rm", "-rf", path.string])
        }
        return folder
    }()

    private func expectSameImages(of example: Example) throws {
        let site = try BuildSite(example.dockerfile)
        let context = try Self.context.get().path
        try Program.require(["cp", "-al", "\(context)/.", site.context.string])
        let golang = site.folder.appending("golang")
        // Where every user may read it.
        if let image = example.golang { try Program.require(["cp", "-r", image.string, golang.string]) }
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
                [BuildSite.program.string] + site.arguments(state: state)
                    + ["--no-push", "--build-context", "golang:1=oci-layout://\(site.folder.path)/golang:1"],
                environment: site.environment()))
    }
}
