import TestSupport
import Testing

@testable import Builder

/// How ADD unpacks.
@Suite(.enabled(if: isRoot)) struct AddArchiveTests {
    /// A tar `t.tar` in Python's words: `folder(name)`, `file(name)`, `symlink(name, to)`, `link(name, to)`.
    private static func tar(_ entries: String, mode: String = "w") -> String {
        """
        python3 - <<'END'
        import tarfile, io
        t = tarfile.open('t.tar', '\(mode)', format=tarfile.PAX_FORMAT)
        def add(name, type=tarfile.REGTYPE, data=b'', **fields):
            i = tarfile.TarInfo(name); i.type = type; i.size = len(data); i.mode = 0o755 if type == tarfile.DIRTYPE else 0o644
            for k, v in fields.items(): setattr(i, k, v)
            t.addfile(i, io.BytesIO(data))
        def folder(name, **f): add(name, tarfile.DIRTYPE, **f)
        def file(name, data=b'x', **f): add(name, tarfile.REGTYPE, data, **f)
        def symlink(name, to, **f): add(name, tarfile.SYMTYPE, linkname=to, **f)
        def link(name, to, **f): add(name, tarfile.LNKTYPE, linkname=to, **f)
        \(entries)
        t.close()
        END
        """
    }

    static let kinds: [CopyCase] = [
        ("plain", "cat"), ("gzip", "gzip -c"), ("bzip2", "bzip2 -c"), ("xz", "xz -c"), ("zstd", "zstd -qc"),
    ].map { name, tool in
        CopyCase(
            rule: "a tar is known by its content, \(name)",
            source: tar("folder('./', mode=0o700); file('./a', uid=5, gid=6)") + "\n\(tool) <t.tar >odd.jpg",
            image: "mkdir -m 1777 d", from: ["odd.jpg"], to: "/d", unpacks: true,
            plans: ["d 1777 0:0 d", "f 644 5:6 d/a"])
    }

    static let contents: [CopyCase] = [
        CopyCase(
            rule: "the destination is a folder, made 0755 whatever --chmod says of copied files",
            source: tar("file('a/b', mode=0o600)"), from: ["t.tar"],
            to: "/x", unpacks: true, plans: ["d 755 0:0 x", "d 755 0:0 x/a", "f 600 0:0 x/a/b"]),
        CopyCase(
            rule: "--chown overrides owners, --chmod means nothing inside",
            source: tar("folder('a', uid=3); file('a/b', mode=0o600, uid=3); file('c/d')"), image: "mkdir x",
            from: ["t.tar"], to: "/x", chown: (5, 6), chmod: "777", unpacks: true,
            plans: ["d 755 0:0 x", "d 755 5:6 x/a", "f 600 5:6 x/a/b", "d 755 5:6 x/c", "f 644 5:6 x/c/d"]),
        CopyCase(
            rule: "hard links come in any order",
            source: tar("link('a', 'b'); link('b', 'c'); file('c'); link('d', 'a')"), from: ["t.tar"], to: "/",
            unpacks: true,
            plans: ["f 644 0:0 a", "h b = a", "h c = a", "h d = a"]),
        CopyCase(
            rule: "a hard link to a symlink is the symlink", source: tar("symlink('a', 'x'); link('b', 'a')"),
            from: ["t.tar"], to: "/", unpacks: true,
            plans: ["l a -> x", "l b -> x"]),
        CopyCase(
            rule: "a hard link to nothing is an error", source: tar("file('c'); link('a', 'b')"), from: ["t.tar"],
            to: "/", unpacks: true, fails: "hard link to '/b'"),
        CopyCase(
            rule: "'..' is refused", source: tar("file('a/../../b')"), from: ["t.tar"], to: "/d", unpacks: true,
            fails: "'..'"),
        CopyCase(
            rule: "absolute names are below the destination", source: tar("file('/etc/passwd')"), from: ["t.tar"],
            to: "/d/", unpacks: true, plans: ["d 755 0:0 d", "d 755 0:0 d/etc", "f 644 0:0 d/etc/passwd"]),
        CopyCase(
            rule: "symlinks of the archive stay in the image",
            source: tar("symlink('l', '../../../../../tmp'); file('l/f')"), from: ["t.tar"], to: "/d", unpacks: true,
            plans: ["d 755 0:0 d", "l d/l -> ../../../../../tmp", "d 755 0:0 tmp", "f 644 0:0 tmp/f"]),
        CopyCase(
            rule: "a file replaces a folder of the image", source: tar("file('a')"), image: "mkdir -p a/b",
            from: ["t.tar"], to: "/", unpacks: true, plans: ["f 644 0:0 a"]),
        CopyCase(
            rule: "a folder replaces a file of the image", source: tar("folder('a'); file('a/b')"), image: "touch a",
            from: ["t.tar"], to: "/", unpacks: true, plans: ["d 755 0:0 a", "f 644 0:0 a/b"]),
        CopyCase(
            rule: "a folder takes a symlink's place, a file too", source: tar("folder('a'); file('a/b'); file('c')"),
            image: "mkdir r; ln -s r a; ln -s r c", from: ["t.tar"],
            to: "/", unpacks: true, plans: ["d 755 0:0 a", "f 644 0:0 a/b", "f 644 0:0 c"]),
        CopyCase(
            rule: "a file that replaced a folder takes with it what the folder had, and so does the next folder",
            source: tar("folder('a'); file('a/b'); file('a'); folder('a'); file('a/c')"), image: "mkdir a; touch a/old",
            from: ["t.tar"], to: "/", unpacks: true,
            plans: ["d 755 0:0 a", "o a", "f 644 0:0 a/c"]),
        CopyCase(
            rule: "of two entries of one name the last wins",
            source: tar("file('a', mode=0o600); file('a', mode=0o640)"), from: ["t.tar"], to: "/", unpacks: true,
            plans: ["f 640 0:0 a"]),
        CopyCase(
            rule: "a folder keeps the mode that the archive says", source: tar("folder('a', mode=0o1777)"),
            image: "mkdir -m 700 a", from: ["t.tar"], to: "/", unpacks: true, plans: ["d 1777 0:0 a"]),
        CopyCase(
            rule: "attributes and special bits are the archive's",
            source: tar("file('a', mode=0o4755, pax_headers={'SCHILY.xattr.user.k': 'v'})"), from: ["t.tar"], to: "/",
            unpacks: true,
            plans: ["f 4755 0:0 a user.k=v"]),
        CopyCase(
            rule: "wildcards and symlinks lead to archives, folders are copied",
            source: tar("file('in')") + "\nmkdir d; cp t.tar d/x.tar; ln -s t.tar l", from: ["d", "d/*.tar", "l"],
            to: "/o/",
            unpacks: true, plans: ["d 755 0:0 o", "f 644 0:0 o/in", "f 644 0:0 o/x.tar"]),
        CopyCase(
            rule: "an archive inside a folder is a file", source: tar("file('in')") + "\nmkdir d; mv t.tar d",
            from: ["d"], to: "/", unpacks: true, plans: ["f 644 0:0 t.tar"]),
        CopyCase(
            rule: "COPY and --unpack=false unpack nothing", source: tar("file('in')"), from: ["t.tar"], to: "/",
            plans: ["f 644 0:0 t.tar"]),
        CopyCase(
            rule: "empty, broken and other compressed files are copied",
            source:
                ": >e.tar; echo no | gzip >n.gz; head -c 700 /dev/zero >z.tar; printf '\\037\\213\\010garbage' >b.tgz",
            from: ["*"], to: "/x/",
            unpacks: true,
            plans: ["d 755 0:0 x", "f 644 0:0 x/b.tgz", "f 644 0:0 x/e.tar", "f 644 0:0 x/n.gz", "f 644 0:0 x/z.tar"]),
        CopyCase(
            rule: "an archive that ends too early is an error",
            source: tar("file('a', b'x' * 5000)") + "\nhead -c 2000 t.tar >u.tar", from: ["u.tar"], to: "/",
            unpacks: true, fails: "u.tar"),
    ]

    @Test("archives are recognised", arguments: kinds) func recognise(_ item: CopyCase) throws { try check(item) }

    @Test("archives are unpacked by the rules", arguments: contents) func unpack(_ item: CopyCase) throws {
        try check(item)
    }
}
