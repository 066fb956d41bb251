import TestSupport
import Testing

@testable import Builder

/// What a written source stands for.
@Suite struct CopySourceTests {
    static let sources: [CopyCase] = [
        CopyCase(rule: "a file", source: "echo a >f", from: ["f"], to: "/x", plans: ["f 644 0:0 x"]),
        CopyCase(
            rule: "'..' stops at the source's root, and a leading slash means it",
            source: "echo a >f; mkdir d; echo b >d/g",
            from: ["../../f", "/d/../../d/g"], to: "/x/", plans: ["d 755 0:0 x", "f 644 0:0 x/f", "f 644 0:0 x/g"]),
        CopyCase(
            rule: "a slash after a file means nothing", source: "echo a >f", from: ["f/"], to: "/x",
            plans: ["f 644 0:0 x"]),
        CopyCase(
            rule: "a folder's content, not the folder", source: "mkdir -p d/e; echo a >d/f; echo b >d/e/g",
            from: ["d/."],
            to: "/x", plans: ["d 755 0:0 x", "d 755 0:0 x/e", "f 644 0:0 x/e/g", "f 644 0:0 x/f"]),
        CopyCase(
            rule: "the empty source is the root", source: "echo a >f", from: [""], to: "/", plans: ["f 644 0:0 f"]),
        CopyCase(
            rule: "what is missing is an error", source: "echo a >file", from: ["fil"], to: "/",
            fails: "did you mean 'file'?"),
        CopyCase(
            rule: "a dangling symlink is an error", source: "ln -s no l", from: ["l"], to: "/",
            fails: "symlink that leads to nothing"),
        CopyCase(
            rule: "a file that is a symlink is followed and keeps the link's name",
            source: "mkdir d; echo abc >d/f; ln -s d/f l", from: ["l"], to: "/x/",
            plans: ["d 755 0:0 x", "f 644 0:0 x/l"]),
        CopyCase(
            rule: "symlinks are followed inside the source's root only",
            source: "mkdir -p etc d; echo mine >etc/passwd; ln -s /etc/passwd a; ln -s ../../../../etc/passwd d/b",
            from: ["a", "d/b"], to: "/x/", plans: ["d 755 0:0 x", "f 644 0:0 x/a", "f 644 0:0 x/b"]),
        CopyCase(
            rule: "a folder that is a symlink gives its content", source: "mkdir d; echo a >d/f; ln -s d l",
            from: ["l"], to: "/x",
            plans: ["d 755 0:0 x", "f 644 0:0 x/f"]),
        CopyCase(
            rule: "links inside a folder stay links", source: "mkdir d; ln -s ../../x d/l; ln -s no d/m", from: ["d"],
            to: "/x",
            plans: ["d 755 0:0 x", "l x/l -> ../../x", "l x/m -> no"]),
        CopyCase(
            rule: "hard links stay within one source only", source: "mkdir d; echo a >d/a; ln d/a d/b; ln d/a c",
            from: ["d", "c"],
            to: "/x/", plans: ["d 755 0:0 x", "f 644 0:0 x/a", "h x/b = x/a", "f 644 0:0 x/c"]),
        CopyCase(
            rule: "of several sources onto one name the last wins",
            source: "mkdir a b; echo 1 >a/f; printf x >b/f; chmod 600 b/f",
            from: ["a/f", "b/f"], to: "/d/", plans: ["d 755 0:0 d", "f 600 0:0 d/f"]),
        CopyCase(
            rule: "names are bytes", source: #"mkdir d; echo a >"d/$(printf 'x\344')"; echo b >'d/a b'"#,
            from: ["d/x*", "d/a b"],
            to: "/x/", plans: ["d 755 0:0 x", "f 644 0:0 x/a b", "f 644 0:0 x/x\u{FFFD}"]),
    ]

    static let wildcards: [CopyCase] = [
        CopyCase(
            rule: "'*' takes hidden files and stops at a slash",
            source: "echo a >.h.c; echo b >x.c; mkdir d; echo c >d/y.c",
            from: ["*.c"], to: "/x/", plans: ["d 755 0:0 x", "f 644 0:0 x/.h.c", "f 644 0:0 x/x.c"]),
        CopyCase(
            rule: "patterns are cleaned as paths are", source: "mkdir d; echo a >d/a.c", from: ["./d//*.c"], to: "/1/",
            plans: ["d 755 0:0 1", "f 644 0:0 1/a.c"]),
        CopyCase(
            rule: "patterns may begin with a slash or '..'", source: "mkdir d; echo a >d/a.c; echo b >d/b.h",
            from: ["/d/*.c", "../d/*.h"], to: "/1/", plans: ["d 755 0:0 1", "f 644 0:0 1/a.c", "f 644 0:0 1/b.h"]),
        CopyCase(
            rule: "classes, negated ones, and '?'", source: "for i in a1 b1 c1 d2; do echo $i >$i; done",
            from: ["[^a-b]?"],
            to: "/x/", plans: ["d 755 0:0 x", "f 644 0:0 x/c1", "f 644 0:0 x/d2"]),
        CopyCase(
            rule: "brackets that are written escaped are names", source: "echo a >'[a].c'; echo b >a.c",
            from: ["[[]a].c", #"\[a\].c"#],
            to: "/x/", plans: ["d 755 0:0 x", "f 644 0:0 x/[a].c"]),
        CopyCase(
            rule: "a class that is not closed is an error", source: "echo a >f", from: ["[a"], to: "/",
            fails: "malformed"),
        CopyCase(
            rule: "'**' is '*'", source: "mkdir -p a/sub a/sub/sub; echo 1 >a/sub/x.t; echo 2 >a/sub/sub/y.t",
            from: ["**/sub/*.t"], to: "/x/", plans: ["d 755 0:0 x", "f 644 0:0 x/x.t"]),
        CopyCase(
            rule: "a folder that matches gives its content, whole",
            source: "mkdir -p d1/e d2; echo a >d1/e/f; echo b >d2/g",
            from: ["d*"], to: "/x/", plans: ["d 755 0:0 x", "d 755 0:0 x/e", "f 644 0:0 x/e/f", "f 644 0:0 x/g"]),
        CopyCase(
            rule: "a wildcard that matches nothing is no error", source: "echo a >f", from: ["miss*", "f"], to: "/x/",
            plans: ["d 755 0:0 x", "f 644 0:0 x/f"]),
        CopyCase(
            rule: "symlinks before the first wildcard are followed", source: "mkdir d; echo a >d/f.c; ln -s d l",
            from: ["l/*.c"],
            to: "/x/", plans: ["d 755 0:0 x", "f 644 0:0 x/f.c"]),
        CopyCase(
            rule: "a symlink that matches is followed", source: "mkdir d; echo a >d/f; ln -s d/f l.c", from: ["*.c"],
            to: "/x/",
            plans: ["d 755 0:0 x", "f 644 0:0 x/l.c"]),
        CopyCase(
            rule: "several matching files need a folder", source: "echo a >a.c; echo b >b.c", from: ["*.c"], to: "/x",
            fails: "several files cannot all become '/x'"),
        CopyCase(
            rule: "several matching files go into a folder that is there", source: "echo a >a.c; echo b >b.c",
            image: "mkdir x",
            from: ["*.c"], to: "/x", plans: ["d 755 0:0 x", "f 644 0:0 x/a.c", "f 644 0:0 x/b.c"]),
        CopyCase(
            rule: "two sources that match one file may rename it", source: "echo a >a.c", from: ["b*", "a.c"],
            to: "/x", plans: ["f 644 0:0 x"]),
        CopyCase(
            rule: "two files cannot become one", source: "echo a >a.c; echo b >b.c", from: ["a.c", "b.c"], to: "/x",
            fails: "several files cannot all become '/x'"),
        CopyCase(
            rule: "two folders may become one", source: "mkdir d e; echo a >d/a; echo b >e/b", from: ["d", "e"],
            to: "/x", plans: ["d 755 0:0 x", "f 644 0:0 x/a", "f 644 0:0 x/b"]),
        CopyCase(
            rule: "a folder makes the destination one for the files after it", source: "mkdir d; echo b >b",
            from: ["d", "b"],
            to: "/x", plans: ["d 755 0:0 x", "f 644 0:0 x/b"]),
        CopyCase(
            rule: "a folder cannot become what a file before it is", source: "mkdir d; echo b >b", from: ["b", "d"],
            to: "/x", fails: "which is a file"),
        CopyCase(
            rule: "escaped wildcards are names", source: #"echo 1 >'a*'; echo 2 >ab; echo 3 >'b\s'"#,
            from: [#"a\*"#, #"b\\s"#], to: "/x/",
            plans: ["d 755 0:0 x", "f 644 0:0 x/a*", #"f 644 0:0 x/b\s"#]),
        CopyCase(
            rule: "one matching file may be renamed", source: "echo a >a.c", from: ["*.c"], to: "/x",
            plans: ["f 644 0:0 x"]),
    ]

    static let ignored: [CopyCase] = [
        CopyCase(
            rule: "what is ignored is missing", source: "echo a >f", from: ["f"], to: "/", ignore: "# no\nf\n",
            fails: #"excluded by line 2 of .dockerignore ("f")"#),
        CopyCase(
            rule: "patterns are anchored and reach below",
            source: "mkdir -p a/b; echo 1 >a/x; echo 2 >a/b/x; echo 3 >x",
            from: ["."], to: "/d/", ignore: "x\na/b\n", plans: ["d 755 0:0 d", "d 755 0:0 d/a", "f 644 0:0 d/a/x"]),
        CopyCase(
            rule: "'a/**' keeps the folder", source: "mkdir a; echo 1 >a/x", from: ["."], to: "/d/", ignore: "a/**\n",
            plans: ["d 755 0:0 d", "d 755 0:0 d/a"]),
        CopyCase(
            rule: "what '!' brings back comes with its folders",
            source: "mkdir -p a/b/c; chmod 700 a/b; echo 1 >a/b/x; echo 2 >a/b/y; echo 3 >a/z",
            from: ["."], to: "/", ignore: "a\n!a/b/y\n", plans: ["d 755 0:0 a", "d 700 0:0 a/b", "f 644 0:0 a/b/y"]),
        CopyCase(
            rule: "an ignored folder with something left may be a source",
            source: "mkdir -p a; echo 1 >a/x; echo 2 >a/y", from: ["a"],
            to: "/d", ignore: "*\n!a/y\n", plans: ["d 755 0:0 d", "f 644 0:0 d/y"]),
        CopyCase(
            rule: "an ignored folder with nothing left is missing", source: "mkdir -p a; echo 1 >a/x", from: ["a"],
            to: "/d",
            ignore: "*\n!**/*.go\n", fails: "'a' is not in the build context"),
        CopyCase(
            rule: "wildcards see only what is left", source: "echo 1 >a.c; echo 2 >b.c; mkdir d.c; echo 3 >d.c/x",
            from: ["*.c"],
            to: "/d/", ignore: "b.c\nd.c\n!d.c/none", plans: ["d 755 0:0 d", "f 644 0:0 d/a.c"]),
        CopyCase(
            rule: "a symlink to what is ignored leads nowhere", source: "mkdir d; echo 1 >d/x; ln -s d/x l",
            from: ["l"], to: "/",
            ignore: "d\n", fails: "'l' is"),
    ]

    @Test("sources are found by the rules of paths", arguments: sources) func paths(_ item: CopyCase) throws {
        try check(item)
    }

    @Test("wildcards are Go's", arguments: wildcards) func patterns(_ item: CopyCase) throws {
        try check(item)
    }

    @Test("what .dockerignore hides is not there", arguments: ignored) func hidden(_ item: CopyCase) throws {
        try check(item)
    }
}

/// Plans the case and compares with what it expects.
func check(_ item: CopyCase, sourceLocation: SourceLocation = #_sourceLocation) throws {
    guard let words = item.fails else {
        #expect(try CopyBench.plan(item) == item.plans, sourceLocation: sourceLocation)
        return
    }
    do {
        let plans = try CopyBench.plan(item)
        Issue.record("it is planned: \(plans)", sourceLocation: sourceLocation)
    } catch {
        #expect("\(error)".contains(words), sourceLocation: sourceLocation)
    }
}
