import Glibc
import SystemPackage
import TestSupport

/// A folder in which the built program builds, and Python says what came out. Removed with this object.
final class WholeBuild {
    let folder: ScratchFolder

    /// - Parameter script: fills the context `context`.
    init(_ script: String, dockerfile: String) throws {
        folder = try ScratchFolder()
        try folder.run("umask 022; mkdir context; cd context; :; \(script)\n")
        try folder.write("context/Dockerfile", Array(dockerfile.utf8))
    }

    /// The program as `swift build` made it, beside the tests.
    private static let program: FilePath = {
        // The bundle is an argument where a helper of SwiftPM loads it, and the process itself elsewhere.
        let bundle = CommandLine.arguments.drop { $0 != "--test-bundle-path" }.dropFirst().first
        if let bundle { return FilePath(bundle).removingLastComponent().appending("imgbuild") }
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        _ = readlink("/proc/self/exe", &buffer, Int(PATH_MAX))
        return FilePath(platformString: buffer).removingLastComponent().appending("imgbuild")
    }()

    private static let listing = """
        import json, tarfile
        blob = lambda d: 'out/blobs/sha256/' + d.split(':')[1]
        m = json.load(open(blob(json.load(open('out/index.json'))['manifests'][0]['digest'])))
        c = json.load(open(blob(m['config']['digest'])))
        for k, v in sorted(c['config'].items()): print(k, json.dumps(v, sort_keys=True))
        steps = [h for h in c['history'] if not h.get('empty_layer')]
        assert len(steps) == len(m['layers']) == len(c['rootfs']['diff_ids'])
        for h, l in zip(steps, m['layers']):
            print('#', h['created_by'])
            t = tarfile.open(blob(l['digest']))
            for e in t:
                text = ' "' + t.extractfile(e).read().decode().strip() + '"' if e.isfile() else ' -> ' + e.linkname if e.linkname else ''
                caps = ' caps' if any('security.capability' in k for k in e.pax_headers) else ''
                print(oct(e.mode)[2:], '%d:%d' % (e.uid, e.gid), e.name + ('/' if e.isdir() else '') + text + caps)
        """

    /// Builds, and lists the config's fields and each layer under its history.
    func image(_ arguments: String = "") throws -> [String] {
        try folder.write("list.py", Array(WholeBuild.listing.utf8))
        let text = try folder.run(
            """
            rm -rf out
            \(WholeBuild.program.string) --context context --no-push --no-cache --oci-layout-path out --state-dir state -v error \(arguments) >/dev/null || exit 1
            python3 list.py
            """)
        return text.split(separator: "\n").map(String.init)
    }

    /// The listing from the step on that begins with these words.
    func image(from step: String, _ arguments: String = "") throws -> [String] {
        Array(try image(arguments).drop { !$0.hasPrefix("# " + step) })
    }
}
