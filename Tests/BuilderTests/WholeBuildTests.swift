import SystemPackage
import TestSupport
import Testing

/// Rules that only a whole build shows, judged by Python's tarfile.
@Suite(.enabled(if: isRoot)) struct WholeBuildTests {
    /// An image `base` whose second layer holds `tmp/x` and `home/u/b` without their folders.
    private static let base = """
        cd ..; python3 - <<'END'
        import tarfile, io, json, hashlib, os
        os.makedirs('base/blobs/sha256')
        def put(b):
            h = hashlib.sha256(b).hexdigest(); open('base/blobs/sha256/' + h, 'wb').write(b); return 'sha256:' + h
        def layer(*entries):
            f = io.BytesIO(); t = tarfile.open(fileobj=f, mode='w')
            for name, mode, owner in entries:
                i = tarfile.TarInfo(name); i.type = tarfile.DIRTYPE if name.endswith('/') else tarfile.REGTYPE
                i.mode = mode; i.uid = i.gid = owner; t.addfile(i, io.BytesIO(b''))
            t.close(); return f.getvalue()
        layers = [layer(('tmp/', 0o1777, 0), ('home/', 0o755, 0), ('home/u/', 0o700, 7)), layer(('tmp/x', 0o644, 0), ('home/u/b', 0o600, 7))]
        v = 'application/vnd.oci.image.'
        c = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {'OnBuild': ['COPY --from=tools f /from/tools'], 'Cmd': ['old']},
            'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + hashlib.sha256(l).hexdigest() for l in layers]},
            'history': [{'created_by': 'base'}, {'created_by': 'base'}]}).encode()
        m = json.dumps({'schemaVersion': 2, 'mediaType': v + 'manifest.v1+json',
            'config': {'mediaType': v + 'config.v1+json', 'digest': put(c), 'size': len(c)},
            'layers': [{'mediaType': v + 'layer.v1.tar', 'digest': put(l), 'size': len(l)} for l in layers]}).encode()
        json.dump({'schemaVersion': 2, 'manifests': [{'mediaType': v + 'manifest.v1+json', 'digest': put(m), 'size': len(m),
            'annotations': {'org.opencontainers.image.ref.name': 'v'}}]}, open('base/index.json', 'w'))
        open('base/oci-layout', 'w').write('{"imageLayoutVersion":"1.0.0"}')
        END
        cd context; echo f >f
        """

    private func onBase(_ dockerfile: String, isolation: String) throws -> [String] {
        let build = try WholeBuild(Self.base, dockerfile: "FROM scratch AS tools\nCOPY f /f\n" + dockerfile)
        let layout = build.folder.path.appending("base").string
        return try build.image(from: "COPY", "--isolation \(isolation) --build-context base=oci-layout://\(layout):v")
    }

    @Test(
        "folders that a layer of the base only implies keep the mode and owner of the layers below",
        arguments: ["overlay", "chroot", "none"])
    func impliedFolders(isolation: String) throws {
        #expect(
            try onBase("FROM base\nCOPY f /tmp/f\nWORKDIR /home/u/w\nCOPY --link f /home/u/l\n", isolation: isolation)
                == [
                    "# COPY --from=tools f /from/tools", "755 0:0 from/", #"644 0:0 from/tools "f""#,
                    "# COPY f /tmp/f", "1777 0:0 tmp/", #"644 0:0 tmp/f "f""#,
                    "# WORKDIR /home/u/w", "755 0:0 home/", "700 7:7 home/u/", "755 0:0 home/u/w/",
                    "# COPY --link f /home/u/l", "755 0:0 home/", "700 7:7 home/u/", #"644 0:0 home/u/l "f""#,
                ])
    }

    @Test("COPY --from copies such folders as they are", arguments: ["overlay", "chroot", "none"])
    func copyFromImplied(isolation: String) throws {
        #expect(
            try onBase("FROM scratch\nCOPY --from=base home /h/\n", isolation: isolation) == [
                "# COPY --from=base home /h/", "755 0:0 h/", "700 7:7 h/u/", #"600 7:7 h/u/b """#,
            ])
    }

    @Test("archives of one ADD keep their own content")
    func severalArchives() throws {
        let build = try WholeBuild(
            "echo one >a; echo two >b; tar cf 1.tar a; tar czf 2.tgz b",
            dockerfile: "FROM scratch\nADD 1.tar 2.tgz /x/\n")
        #expect(
            try build.image(from: "ADD") == [
                "# ADD 1.tar 2.tgz /x/", "755 0:0 x/", #"644 0:0 x/a "one""#, #"644 0:0 x/b "two""#,
            ])
    }

    @Test("file capabilities survive COPY --from and --chown")
    func capabilities() throws {
        let build = try WholeBuild(
            "echo f >f; setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= f",
            dockerfile: "FROM scratch AS a\nCOPY --chown=5 f /f\nFROM scratch\nCOPY --from=a /f /g\n")
        #expect(try build.image(from: "COPY") == ["# COPY --from=a /f /g", #"644 5:5 g "f" caps"#])
    }

    @Test("heredocs are copied after paths, expanded unless quoted")
    func heredocs() throws {
        let build = try WholeBuild(
            "echo f >A; echo f >f",
            dockerfile:
                "FROM scratch\nENV a=1\nCOPY --chmod=600 <<A <<'B' A f /d/\n$a \\$b \"q\"\nA\n$a\nB\nCOPY <<C /c\nc\nC\n"
        )
        #expect(
            try build.image(from: "COPY --chmod") == [
                "# COPY --chmod=600 <<A <<B A f /d/", "600 0:0 d/", #"600 0:0 d/A "1 $b "q"""#, #"600 0:0 d/B "$a""#,
                #"600 0:0 d/f "f""#,
                "# COPY <<C /c", #"644 0:0 c "c""#,
            ])
    }

    @Test("NAME.dockerignore beside the Dockerfile replaces .dockerignore")
    func ignoreFileOfDockerfile() throws {
        let build = try WholeBuild(
            "touch a b; echo b >.dockerignore; mkdir d; echo a >d/F.dockerignore; printf 'FROM scratch\\nCOPY a* b* /x/\\n' >d/F",
            dockerfile: "")
        #expect(try build.image(from: "COPY", "-f d/F") == ["# COPY a* b* /x/", "755 0:0 x/", #"644 0:0 x/b """#])
    }

    @Test("the config follows the instructions")
    func config() throws {
        let build = try WholeBuild(
            "",
            dockerfile: """
                ARG G=glob
                FROM scratch AS base
                ENTRYPOINT ["/old"]
                CMD ["inherited"]
                VOLUME /data rel/path
                FROM base
                ARG G
                ARG P="80 81/UDP 90-91"
                ENV a=2
                ENV a=3 b=$a
                ENTRYPOINT ["/e"]
                EXPOSE $P
                HEALTHCHECK --interval=1m30s --retries=2 CMD curl -f x
                LABEL a=9 g=$G
                STOPSIGNAL SIGTERM
                WORKDIR /w
                USER 9999
                WORKDIR sub/../own

                """)
        #expect(
            try build.image("--label a=cli") == [
                #"Entrypoint ["/e"]"#,
                #"Env ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "a=3", "b=2"]"#,
                #"ExposedPorts {"80/tcp": {}, "81/udp": {}, "90/tcp": {}, "91/tcp": {}}"#,
                #"Healthcheck {"Interval": 90000000000, "Retries": 2, "Test": ["CMD-SHELL", "curl -f x"]}"#,
                #"Labels {"a": "cli", "g": "glob"}"#, #"StopSignal "SIGTERM""#, #"User "9999""#,
                #"Volumes {"/data": {}, "rel/path": {}}"#, #"WorkingDir "/w/own""#,
                "# WORKDIR /w", "755 0:0 w/", "# WORKDIR /w/own", "755 0:0 w/", "755 9999:9999 w/own/",
            ])
    }

    @Test("SHELL is the shell of CMD, a later ENTRYPOINT keeps a CMD of its own stage")
    func shell() throws {
        let build = try WholeBuild(
            "", dockerfile: "FROM scratch\nSHELL [\"/bin/bash\", \"-ec\"]\nCMD echo hi\nENTRYPOINT []\n")
        #expect(
            try build.image().filter { $0.hasPrefix("Cmd") || $0.hasPrefix("Entrypoint") } == [
                #"Cmd ["/bin/bash", "-ec", "echo hi"]"#
            ])
    }
}
