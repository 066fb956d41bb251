import TestSupport
import Testing

@testable import Builder

/// Where copied files go, and what becomes of what is there already.
@Suite(.enabled(if: isRoot)) struct CopyDestinationTests {
    static let destinations: [CopyCase] = [
        CopyCase(
            rule: "relative to the working directory", source: "echo a >f", from: ["f"], to: "d/g",
            workingDirectory: "/w",
            plans: ["d 755 0:0 w", "d 755 0:0 w/d", "f 644 0:0 w/d/g"]),
        CopyCase(
            rule: "'.' is the working directory", source: "echo a >f", from: ["f"], to: ".", workingDirectory: "/w",
            plans: ["d 755 0:0 w", "f 644 0:0 w/f"]),
        CopyCase(
            rule: "so is the empty path", source: "echo a >f", from: ["f"], to: "", workingDirectory: "/w",
            plans: ["d 755 0:0 w", "f 644 0:0 w/f"]),
        CopyCase(
            rule: "'c/.' is a folder", source: "echo a >f", from: ["f"], to: "c/.",
            plans: ["d 755 0:0 c", "f 644 0:0 c/f"]),
        CopyCase(
            rule: "'..' is a folder", source: "echo a >f", from: ["f"], to: "..", workingDirectory: "/v/w",
            plans: ["d 755 0:0 v", "f 644 0:0 v/f"]),
        CopyCase(
            rule: "'..' stops at the root", source: "echo a >f", from: ["f"], to: "../../x", plans: ["f 644 0:0 x"]),
        CopyCase(
            rule: "an existing folder takes the file and stays as it is", source: "echo a >f",
            image: "mkdir -m 1777 x; chown 5:6 x",
            from: ["f"], to: "/x", plans: ["d 1777 5:6 x", "f 644 0:0 x/f"]),
        CopyCase(
            rule: "an existing folder keeps mode and owner when a folder is merged into it",
            source: "mkdir -m 700 t; echo a >t/f",
            image: "mkdir -m 1777 tmp; chown 5:6 tmp", from: ["t"], to: "/tmp", chown: (9, 9), chmod: "640",
            plans: ["d 1777 5:6 tmp", "f 640 9:9 tmp/f"]),
        CopyCase(
            rule: "a new top folder is 0755 and root's, not as its source",
            source: "mkdir -m 700 t; echo a >t/f; chown 3:3 t t/f",
            from: ["t"], to: "/n", keepsOwners: true, plans: ["d 755 0:0 n", "f 644 3:3 n/f"]),
        CopyCase(
            rule: "folders below that are there take the source's mode and owner",
            source: "mkdir -p t; mkdir -m 700 t/s; chown 3:4 t/s",
            image: "mkdir -p -m 755 n/s", from: ["t"], to: "/n", keepsOwners: true,
            plans: ["d 755 0:0 n", "d 700 3:4 n/s"]),
        CopyCase(
            rule: "symlinks on the way and at the end are followed", source: "echo a >f",
            image: "mkdir -p real/d; ln -s real ln; ln -s ../ln/d real/e",
            from: ["f"], to: "/ln/e", plans: ["d 755 0:0 real", "d 755 0:0 real/d", "f 644 0:0 real/d/f"]),
        CopyCase(
            rule: "symlinks stay in the image's root", source: "echo a >f", image: "ln -s ../../../../etc ln",
            from: ["f"], to: "/ln/x",
            plans: ["d 755 0:0 etc", "f 644 0:0 etc/x"]),
        CopyCase(
            rule: "a file copied onto a symlink replaces its target", source: "echo a >f",
            image: "echo b >t; ln -s t l", from: ["f"],
            to: "/l", plans: ["f 644 0:0 t"]),
        CopyCase(
            rule: "a dangling symlink gets its target", source: "echo a >f", image: "ln -s no/t l", from: ["f"],
            to: "/l",
            plans: ["d 755 0:0 no", "f 644 0:0 no/t"]),
        CopyCase(
            rule: "a folder onto a dangling symlink makes the folder", source: "mkdir d; echo a >d/f",
            image: "ln -s /no l", from: ["d"],
            to: "/l", plans: ["d 755 0:0 no", "f 644 0:0 no/f"]),
        CopyCase(
            rule: "a symlink of the file's name in a folder gives way", source: "echo a >f",
            image: "mkdir d; ln -s ../t d/f", from: ["f"],
            to: "/d/", plans: ["d 755 0:0 d", "f 644 0:0 d/f"]),
        CopyCase(
            rule: "a symlink in a merged folder gives way to a file", source: "mkdir d; echo a >d/f",
            image: "mkdir x; ln -s /etc/passwd x/f",
            from: ["d"], to: "/x", plans: ["d 755 0:0 x", "f 644 0:0 x/f"]),
        CopyCase(
            rule: "symlinks in a circle are an error", source: "echo a >f", image: "ln -s a b; ln -s b a", from: ["f"],
            to: "/a/x", fails: "symlinks"),
        CopyCase(
            rule: "the way may not lead through a file", source: "echo a >f", image: "echo a >x", from: ["f"],
            to: "/x/y", fails: "not a directory"),
        CopyCase(
            rule: "a file is no folder", source: "echo a >f", image: "echo a >x", from: ["f"], to: "/x/",
            fails: "is a file"),
        CopyCase(
            rule: "a folder cannot go onto a file", source: "mkdir d", image: "echo a >x", from: ["d"], to: "/x",
            fails: "which is a file"),
        CopyCase(
            rule: "a file cannot replace a folder of a merged tree", source: "mkdir d; echo a >d/f",
            image: "mkdir -p x/f", from: ["d"], to: "/x", fails: "cannot replace the directory"),
        CopyCase(
            rule: "a folder cannot replace a file of a merged tree", source: "mkdir -p d/f",
            image: "mkdir x; echo a >x/f", from: ["d"], to: "/x", fails: "cannot replace the file"),
        CopyCase(
            rule: "a folder cannot replace a symlink of a merged tree", source: "mkdir -p d/f",
            image: "mkdir -p x/g; ln -s g x/f", from: ["d"], to: "/x", fails: "cannot replace the symlink"),
    ]

    static let metadata: [CopyCase] = [
        CopyCase(
            rule: "a context's files are root's", source: "echo a >f; chown 7:8 f", from: ["f"], to: "/x",
            plans: ["f 644 0:0 x"]),
        CopyCase(
            rule: "a stage's keep their owner", source: "echo a >f; chown 7:8 f", from: ["f"], to: "/x",
            keepsOwners: true, plans: ["f 644 7:8 x"]),
        CopyCase(
            rule: "--chown is for all that is copied or made",
            source: "mkdir -p d/e; ln -s x d/l; echo a >d/f; chown -h 7:8 d/*",
            from: ["d"], to: "/a/b", chown: (5, 6), keepsOwners: true,
            plans: ["d 755 5:6 a", "d 755 5:6 a/b", "d 755 5:6 a/b/e", "f 644 5:6 a/b/f", "l a/b/l -> x"]),
        CopyCase(
            rule: "setuid, setgid and sticky bits are kept",
            source: "mkdir -p d/s; chmod 1777 d/s; echo a >d/f; chmod 6755 d/f", from: ["d"],
            to: "/", plans: ["f 6755 0:0 f", "d 1777 0:0 s"]),
        CopyCase(
            rule: "octal --chmod is for files, folders and folders that are made, not for links",
            source: "mkdir -p d/e; echo a >d/e/f; ln -s f d/e/l", from: ["d"], to: "/a/b", chmod: "4700",
            plans: ["d 4700 0:0 a", "d 4700 0:0 a/b", "d 4700 0:0 a/b/e", "f 4700 0:0 a/b/e/f", "l a/b/e/l -> f"]),
        CopyCase(
            rule: "--chmod=600 is the made folder's, too", source: "echo a >f", from: ["f"], to: "/d/f", chmod: "600",
            plans: ["d 600 0:0 d", "f 600 0:0 d/f"]),
        CopyCase(
            rule: "symbolic --chmod counts from each entry's own mode; made folders are 0755",
            source: "mkdir -p -m 700 d/e; echo a >d/e/f; echo b >d/e/x; chmod 600 d/e/f; chmod 711 d/e/x", from: ["d"],
            to: "/a", chmod: "u=rwX,go=rX",
            plans: ["d 755 0:0 a", "d 755 0:0 a/e", "f 644 0:0 a/e/f", "f 755 0:0 a/e/x"]),
        CopyCase(
            rule: "classes may be copied", source: "echo a >f; chmod 640 f", from: ["f"], to: "/f",
            chmod: "o=g,a-w,u+s", plans: ["f 4444 0:0 f"]),
        CopyCase(
            rule: "devices and fifos are copied, sockets become empty files",
            source:
                #"mkdir d; mknod d/c c 1 3; mknod d/b b 7 1; mkfifo -m 600 d/p; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("d/s")'"#,
            from: ["d"], to: "/", plans: ["b 644 0:0 b 7:1", "c 644 0:0 c 1:3", "p 600 0:0 p", "f 755 0:0 s"]),
        CopyCase(
            rule: "extended attributes are copied, whoever the owner becomes",
            source: "echo a >f; setfattr -n user.k -v v f; chown 1:1 f", from: ["f"], to: "/f", chown: (5, 5),
            plans: ["f 644 5:5 f user.k=v"]),
    ]

    static let excluded: [CopyCase] = [
        CopyCase(
            rule: "--exclude counts from the source folder", source: "mkdir -p d/e; touch d/a.md d/b.c d/e/a.md",
            from: ["d"], to: "/",
            exclude: ["*.md"], plans: ["f 644 0:0 b.c", "d 755 0:0 e", "f 644 0:0 e/a.md"]),
        CopyCase(
            rule: "'**' reaches below", source: "mkdir -p d/e; touch d/a.md d/b.c d/e/a.md", from: ["d"], to: "/",
            exclude: ["**/*.md"],
            plans: ["f 644 0:0 b.c", "d 755 0:0 e"]),
        CopyCase(
            rule: "'!' brings back", source: "mkdir -p d/e; touch d/a.md d/b.md d/e/a d/e/b", from: ["d"], to: "/",
            exclude: ["*", "!b.md", "!e/b"], plans: ["f 644 0:0 b.md", "d 755 0:0 e", "f 644 0:0 e/b"]),
        CopyCase(
            rule: "a file given as the source is copied", source: "touch a.md", from: ["a.md"], to: "/x/",
            exclude: ["*.md"], plans: ["d 755 0:0 x", "f 644 0:0 x/a.md"]),
        CopyCase(
            rule: "what a wildcard matches is left out",
            source: "touch home.txt home.c; mkdir homes; touch homes/a.txt homes/b", from: ["hom*"],
            to: "/x/", exclude: ["*.txt"], plans: ["d 755 0:0 x", "f 644 0:0 x/b", "f 644 0:0 x/home.c"]),
    ]

    static let parents: [CopyCase] = [
        CopyCase(
            rule: "the path is kept below the destination",
            source: "mkdir -p a/b; chmod 700 a; chown 3:3 a; echo 1 >a/b/c; echo 2 >a/d", from: ["a/b/c"],
            to: "/x", keepsParents: true,
            plans: ["d 755 0:0 x", "d 700 0:0 x/a", "d 755 0:0 x/a/b", "f 644 0:0 x/a/b/c"]),
        CopyCase(
            rule: "what stands before '/./' is dropped", source: "mkdir -p a/b/c; echo 1 >a/b/c/f; echo 1 >a/b/g",
            from: ["./a/./b/c"], to: "/x/",
            keepsParents: true, plans: ["d 755 0:0 x", "d 755 0:0 x/b", "d 755 0:0 x/b/c", "f 644 0:0 x/b/c/f"]),
        CopyCase(
            rule: "several sources with one base name stay apart", source: "mkdir -p a b; echo 1 >a/f; echo 2 >b/f",
            from: ["a/f", "b/f"], to: "/x",
            keepsParents: true,
            plans: ["d 755 0:0 x", "d 755 0:0 x/a", "f 644 0:0 x/a/f", "d 755 0:0 x/b", "f 644 0:0 x/b/f"]),
        CopyCase(
            rule: "'**' spans folders, and folders without a match do not come",
            source: "mkdir -p p/q/r p/e; touch p/package.json p/q/r/package.json p/q/r/x p/e/y",
            from: ["**/package.json"], to: "/x", keepsParents: true,
            plans: [
                "d 755 0:0 x", "d 755 0:0 x/p", "f 644 0:0 x/p/package.json", "d 755 0:0 x/p/q", "d 755 0:0 x/p/q/r",
                "f 644 0:0 x/p/q/r/package.json",
            ]),
        CopyCase(
            rule: "'*' stops at a slash, and a folder that matches comes whole",
            source: "mkdir -p s/a/src/d s/b; touch s/a/src/d/f s/a/x s/b/y", from: ["s/*/src"],
            to: "/", keepsParents: true,
            plans: [
                "d 755 0:0 s", "d 755 0:0 s/a", "d 755 0:0 s/a/src", "d 755 0:0 s/a/src/d", "f 644 0:0 s/a/src/d/f",
            ]),
        CopyCase(
            rule: "a pattern may stand after '/./'", source: "mkdir -p v/w/t; touch v/w/a.c v/w/t/b.c",
            from: ["v/w/./**/*.c"], to: "/", keepsParents: true,
            plans: ["f 644 0:0 a.c", "d 755 0:0 t", "f 644 0:0 t/b.c"]),
        CopyCase(
            rule: "a pattern may match nothing", source: "touch f", from: ["m*", "f"], to: "/x", keepsParents: true,
            plans: ["d 755 0:0 x", "f 644 0:0 x/f"]),
        CopyCase(
            rule: "a missing path is an error", source: "mkdir a; touch a/f", from: ["a/g"], to: "/x",
            keepsParents: true, fails: "'a/g' is not in"),
        CopyCase(
            rule: "links are copied as links", source: "mkdir a; ln -s f a/l", from: ["a/l"], to: "/",
            keepsParents: true, plans: ["d 755 0:0 a", "l a/l -> f"]),
        CopyCase(
            rule: "no link is followed on the way", source: "mkdir a; touch a/f; ln -s a l", from: ["l/f"], to: "/",
            keepsParents: true, fails: "'l' is a symlink"),
        CopyCase(
            rule: "--chown, --chmod and --exclude hold for folders on the way, too",
            source: "mkdir -p a/b; touch a/b/c a/b/d", from: ["a/b"], to: "/",
            chown: (5, 5), chmod: "750", exclude: ["a/b/d"], keepsParents: true,
            plans: ["d 750 5:5 a", "d 750 5:5 a/b", "f 750 5:5 a/b/c"]),
        CopyCase(
            rule: "what is ignored does not come", source: "mkdir -p a/b; touch a/b/c a/b/d", from: ["a"], to: "/",
            ignore: "a/b\n!a/b/c", keepsParents: true,
            plans: ["d 755 0:0 a", "d 755 0:0 a/b", "f 644 0:0 a/b/c"]),
        CopyCase(
            rule: "'.' is all of it", source: "mkdir a; touch a/b", from: ["."], to: "/x", keepsParents: true,
            plans: ["d 755 0:0 x", "d 755 0:0 x/a", "f 644 0:0 x/a/b"]),
        CopyCase(
            rule: "odd names are names", source: "mkdir '!a'; touch '!a/ b '", from: ["!a/ b "], to: "/",
            keepsParents: true, plans: ["d 755 0:0 !a", "f 644 0:0 !a/ b "]),
    ]

    static let links: [CopyCase] = [
        CopyCase(
            rule: "--link makes folders of symlinks", source: "echo a >f", image: "mkdir real; ln -s real ln",
            from: ["f"], to: "/ln/d/", followsSymlinks: false,
            plans: ["d 755 0:0 ln", "d 755 0:0 ln/d", "f 644 0:0 ln/d/f"]),
        CopyCase(
            rule: "--link replaces a symlink of the destination's name", source: "echo a >f", image: "ln -s t l",
            from: ["f"], to: "/l", followsSymlinks: false,
            plans: ["f 644 0:0 l"]),
        CopyCase(
            rule: "--link leaves folders that are there as they are", source: "echo a >f",
            image: "mkdir -m 1777 tmp; chown 5:5 tmp", from: ["f"], to: "/tmp/f",
            chown: (9, 9), followsSymlinks: false, plans: ["d 1777 5:5 tmp", "f 644 9:9 tmp/f"]),
    ]

    @Test("files go where the destination leads", arguments: destinations) func destination(_ item: CopyCase) throws {
        try check(item)
    }

    @Test("owners, modes and kinds are those of the rules", arguments: metadata) func attributes(_ item: CopyCase)
        throws
    { try check(item) }

    @Test("--exclude leaves out", arguments: excluded) func exclude(_ item: CopyCase) throws { try check(item) }

    @Test("--parents keeps the path", arguments: parents) func keepParents(_ item: CopyCase) throws { try check(item) }

    @Test("--link looks at no symlink of the image", arguments: links) func link(_ item: CopyCase) throws {
        try check(item)
    }
}
