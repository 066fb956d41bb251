import SystemPackage
import TestSupport
import Testing

/// Images whose layers want out of their tree: whoever builds, and however.
@Suite("Hostile bases", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct HostileBaseTests {
    /// Of Python's tarfile, and the entry that is at fault.
    static let layers: [(entries: String, name: String)] = [
        ("file('good'); file('../escaped')", "../escaped"),
        ("symlink('out', '/'); file('f'); file('f/below')", "f/below"),
        ("link('stolen', '/etc/shadow')", "stolen"),
        ("file('bin/busybox/below')", "bin/busybox/below"),
    ]

    @Test("a layer that is at fault is refused by its digest and the entry's name", arguments: layers)
    func refused(entries: String, name: String) throws {
        let site = try OrdinaryUser.site("FROM busybox\nRUN true\n")
        let program = """
            import tarfile, io
            t = tarfile.open('layer.tar', 'w')
            def add(name, type, **more):
                i = tarfile.TarInfo(name); i.type = type
                for k, v in more.items(): setattr(i, k, v)
                t.addfile(i, io.BytesIO())
            def file(name): add(name, tarfile.REGTYPE)
            def symlink(name, to): add(name, tarfile.SYMTYPE, linkname=to)
            def link(name, to): add(name, tarfile.LNKTYPE, linkname=to)
            \(entries)
            t.close()
            """
        try site.folder.write(program, to: "layer.py")
        let script =
            "python3 layer.py && umoci raw add-layer --image image/busybox:latest layer.tar && chown -R --reference=. image"
        try Program.require(["sh", "-euc", script], in: site.folder.path)
        let image = "oci:\(site.folder.path)/image/busybox:latest"
        let digest = try #require(try Skopeo.summary(of: image)["Layers"][1].string)
        func expectRefusal(_ command: [String], _ way: String) throws {
            let build = Build(try Program.run(command, environment: site.environment(), in: site.folder.path))
            #expect(build.status == 1, "\(way): \(build.log)")
            #expect(build.log.contains("\(digest): entry '\(name)': "), "\(way): \(build.log)")
            try site.expectClean()
        }
        for isolation in RunIsolation.possible {
            try expectRefusal(OrdinaryUser.command(site, as: [], ids: false, [isolation.flag]), "\(isolation)")
        }
        if OrdinaryUser.isPossible {
            try Program.require(["rm", "-rf", site.state.string])
            try expectRefusal(OrdinaryUser.command(site), "ordinary user")
        }
        // What is copied is looked up in what the layers list.
        try site.folder.write("FROM busybox\nCOPY Dockerfile /x/\n", to: "context/Dockerfile")
        try expectRefusal(OrdinaryUser.command(site, as: [], ids: false, ["--isolation=none"]), "listed")
    }
}
