/// A Dockerfile that a build must refuse for what it says, with what must be said of it.
///
/// One table for two floors: the front end's own tests, and the program, whose exit code is 1.
package struct FaultyDockerfile: CustomStringConvertible, Sendable {
    package let text: String
    /// Where the fault is; `nil` if it is in no particular line.
    package let line: Int?
    /// A part of the message.
    package let message: String
    /// The whole hint, where the case is about it.
    package let hint: String?

    package var description: String { String(text.prefix(60)) }

    init(_ text: String, _ line: Int?, _ message: String, hint: String? = nil) {
        self.text = text
        self.line = line
        self.message = message
        self.hint = hint
    }

    package static let all =
        files + words + variables + stages + instructions + flagless + json + quotes + onbuild + copies + mounts

    // MARK: The file, its lines and directives

    private static let files = [
        FaultyDockerfile("", nil, "no instructions", hint: "begin with FROM <image>"),
        FaultyDockerfile("# only\n\n", nil, "no instructions"),
        FaultyDockerfile("\u{FEFF}\r\n", nil, "no instructions"),
        FaultyDockerfile("\\\n", nil, "no instructions"), FaultyDockerfile("ARG a", nil, "no FROM"),
        FaultyDockerfile("RUN a\nFROM b", 1, "RUN stands before the first FROM"),
        FaultyDockerfile("ARG a\nENV a=b\nFROM b", 2, "ENV stands before the first FROM"),
        FaultyDockerfile("FROM a\nCOPPY a b", 2, "unknown instruction 'COPPY'", hint: "did you mean COPY?"),
        FaultyDockerfile("FROM a\nRNU a", 2, "unknown instruction", hint: "did you mean RUN?"),
        FaultyDockerfile("FROM a\n\n# x\nXYZZY", 4, "unknown instruction"),
        FaultyDockerfile("FROM a\nRUN a \\\\\n  b", 3, "unknown instruction 'b'"),
        FaultyDockerfile("FROM a\nRUN a \\\n# c\n\n  b\nXYZZY", 6, "unknown instruction"),
        FaultyDockerfile("FROM a\nCOPY\u{A0}a b", 2, "unknown instruction"),
        FaultyDockerfile("FROM a\nRUN " + String(repeating: "x", count: 65535), 2, "at most 65535 are allowed"),
        FaultyDockerfile("FROM a\n" + String(repeating: "# x\n", count: 1 << 20), nil, "at most 4194304"),
        FaultyDockerfile("FROM a\nRUN a\u{0}b", 2, "holds a NUL", hint: "a Dockerfile is a text in UTF-8"),
        FaultyDockerfile("F\u{0}R\u{0}O\u{0}M\u{0}", 1, "holds a NUL"),
        FaultyDockerfile(
            String(repeating: "FROM a\n", count: 10_001), 10_001, "the Dockerfile has more than 10000 stages"),
        FaultyDockerfile("# escape=x\nFROM a", 1, "escape character cannot be 'x'"),
        FaultyDockerfile("# escape=``\nFROM a", 1, "escape character cannot be '``'"),
        FaultyDockerfile("# escape=\\\n# escape=`\nFROM a", 2, "the directive 'escape' is given twice"),
        FaultyDockerfile("# syntax=a\n# Syntax=b\nFROM a", 2, "the directive 'syntax' is given twice"),
        FaultyDockerfile("# check=skip=all\n#check = error=true\nFROM a", 2, "the directive 'check' is given twice"),
    ]

    // MARK: Flags, heredocs

    private static let words = [
        FaultyDockerfile("FROM a\nCOPY --chwon=1 a b", 2, "COPY has no flag --chwon", hint: "did you mean --chown?"),
        FaultyDockerfile("FROM a\nCOPY --chown a b", 2, "--chown needs a value", hint: "write --chown=<value>"),
        FaultyDockerfile("FROM a\nCOPY --link=yes a b", 2, "--link is true or false, not 'yes'"),
        FaultyDockerfile("FROM a\nCOPY --link= a b", 2, "--link is true or false, not ''"),
        FaultyDockerfile("FROM a\nCOPY --link --link a b", 2, "--link is given twice"),
        FaultyDockerfile("FROM a\nCOPY --from=a --from=b c d", 2, "--from is given twice"),
        FaultyDockerfile("FROM a\nCOPY --exclude a b", 2, "--exclude needs a value"),
        FaultyDockerfile("FROM a\nRUN --network=none --network=host a", 2, "--network is given twice"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --retries=1 --retries=2 CMD a", 2, "--retries is given twice"),
        FaultyDockerfile("FROM --platform=a/b --platform=a/b a", 1, "--platform is given twice"),
        FaultyDockerfile("FROM a\nRUN <<E\nx\n", 2, "heredoc 'E' is not terminated"),
        FaultyDockerfile("FROM a\nRUN <<E\nx\n E\n", 2, "heredoc 'E' is not terminated"),
        FaultyDockerfile("FROM a\nRUN <<-E\nx\n E\n", 2, "heredoc 'E' is not terminated"),
        FaultyDockerfile("FROM a\nRUN a <<A <<B\nA\n", 2, "heredoc 'B' is not terminated"),
        FaultyDockerfile("FROM a\nCOPY \\\n <<E /x\n", 3, "heredoc 'E' is not terminated"),
        FaultyDockerfile("FROM a\nADD <<E /x\nE x\n", 2, "heredoc 'E' is not terminated"),
        FaultyDockerfile("FROM a\nONBUILD RUN <<E\n", 2, "heredoc 'E' is not terminated"),
        FaultyDockerfile("FROM a\nCOPY a <<E\nE", 2, "destination cannot be a heredoc"),
        FaultyDockerfile("FROM a\nCOPY <<a/b /x\na/b", 2, "cannot hold a path"),
        FaultyDockerfile("FROM a\nADD <<.. /x\n..", 2, "cannot hold a path"),
        FaultyDockerfile("FROM a\nRUN <<a/b\n#!/bin/sh\na/b", 2, "cannot hold a path"),
    ]

    // MARK: Variables

    private static let variables =
        [
            ("${U:?not there}", "U: not there"), ("${U?}", "U: is not allowed to be unset"),
            ("${E:?}", "E: is not allowed to be empty"), ("${E:?$A x}", "E: 1 x"),
            ("${A//p}", "second '/' is missing"), ("${A/p}", "second '/' is missing"), ("${}", "bad substitution"),
            ("${:x}", "bad substitution"), ("${{A}", "bad substitution"), ("${", "the '}' of a ${ is missing"),
            ("${A", "the '}' of a ${ is missing"), ("${A:-b", "the '}' of a ${ is missing"),
            ("${A^^}", "modifier '^' in ${A...}"), ("${A:0:2}", "modifier ':0' in ${A...}"),
            ("${#A}", "modifier 'A'"), ("${A,,}", "modifier ','"), ("${A#\\x}", "escapes nothing"),
            ("${A%\\[}", "escapes nothing"), ("'a", "a single quote is not closed"),
            ("\"a", "a double quote is not closed"), ("'a\\'b'", "a single quote is not closed"),
        ].map { FaultyDockerfile("FROM scratch\nENV A=1 E=\nWORKDIR /\($0)", 3, $1) } + [
            FaultyDockerfile("FROM scratch\nCOPY <<A /x\n${U:?why}\nA", 2, "U: why"),
            FaultyDockerfile("FROM scratch\nCOPY <<A /x\n${U:-x\nA", 2, "the '}' of a ${ is missing"),
            FaultyDockerfile("ARG a=${b:?why}\nFROM x", 1, "b: why"),
            FaultyDockerfile("ARG a='b\nFROM x", 1, "not closed"),
            FaultyDockerfile("FROM scratch\nENV $x=1", 2, "the name before '=' is empty"),
            FaultyDockerfile("FROM scratch\nLABEL $x=1", 2, "the name before '=' is empty"),
            FaultyDockerfile("FROM scratch\nARG $x", 2, "ARG: the name is empty"),
            FaultyDockerfile("ARG $x\nFROM scratch", 1, "ARG: the name is empty"),
            FaultyDockerfile("FROM scratch\nENV a=b=c\nENV $a=1", 3, "'b=c' cannot be the name of a variable"),
            FaultyDockerfile("FROM scratch\nARG a=b=c\nARG $a=1", 3, "'b=c' cannot be the name of a variable"),
            FaultyDockerfile("ARG a=b=c\nARG $a=1\nFROM scratch", 2, "'b=c' cannot be the name of a variable"),
        ]

    // MARK: Stages

    private static let stages = [
        FaultyDockerfile("FROM", 1, "an image"),
        FaultyDockerfile("FROM a b", 1, "an image, or an image, AS and a name"),
        FaultyDockerfile("FROM a AS b c", 1, "an image, or an image, AS and a name"),
        FaultyDockerfile("FROM a b c", 1, "'b' stands where AS is expected", hint: "write FROM <image> AS <name>"),
        FaultyDockerfile("FROM a AS 1x", 1, "'1x' cannot be a stage's name"),
        FaultyDockerfile("FROM a AS $x", 1, "'$x' cannot be a stage's name"),
        FaultyDockerfile("FROM a AS a/b", 1, "'a/b' cannot be a stage's name"),
        FaultyDockerfile("FROM --foo=1 a", 1, "FROM has no flag --foo"),
        FaultyDockerfile("FROM --platfrom=x a", 1, "no flag", hint: "did you mean --platform?"),
        FaultyDockerfile("FROM --platform a", 1, "--platform needs a value"),
        FaultyDockerfile("ARG e=\nFROM $e", 2, "'$e' expands to nothing"),
        FaultyDockerfile("FROM a\nARG b=c\nFROM $b", 3, "'$b' expands to nothing"),
        FaultyDockerfile("FROM --platform=$e a", 1, "platform '$e' expands to nothing"),
        FaultyDockerfile("FROM \"a", 1, "not closed"), FaultyDockerfile("FROM --platform=${a a", 1, "the '}'"),
        FaultyDockerfile("FROM a\nCOPY --from=b / /\nFROM x AS b\nCOPY --from=0 / /", 2, "'b' is not defined yet"),
        FaultyDockerfile("FROM a AS b\nCOPY --from=B / /", 2, "'B' refers to itself"),
        FaultyDockerfile("FROM a\nCOPY --from=0 / /", 2, "'0' refers to itself"),
        FaultyDockerfile("FROM a\nCOPY --from=1 / /\nFROM b\nCOPY --from=0 / /", 2, "'1' is not defined yet"),
        FaultyDockerfile("FROM a\nCOPY --from=7 / /", 2, "no stage 7", hint: "stages are counted from 0 to 0"),
        FaultyDockerfile("FROM a\nCOPY --from=99999999999999999999 / /", 2, "no stage"),
        FaultyDockerfile("FROM a\nCOPY --from= / /", 2, "'from' is empty"),
        FaultyDockerfile("FROM a AS b\nRUN --mount=from=b,target=/x y", 2, "'b' refers to itself"),
        FaultyDockerfile(
            "FROM a\nRUN --mount=from=b,target=/x y\nFROM c AS b\nCOPY --from=0 / /", 2, "not defined yet"),
        FaultyDockerfile(
            "FROM one AS a\nFROM two AS b\nCOPY --from=a / /\nFROM three AS a\nCOPY --from=b / /", 3, "not defined yet"),
        FaultyDockerfile(
            "FROM a AS b\nONBUILD COPY --from=c / /\nFROM b\nFROM d AS c\nCOPY --from=1 / /", 3,
            "'c' is not defined yet"),
    ]

    // MARK: Instructions

    private static let instructions = [
        FaultyDockerfile("FROM a\nRUN", 2, "RUN: a command is needed"),
        FaultyDockerfile("FROM a\nRUN []", 2, "a command is needed"),
        FaultyDockerfile("FROM a\nRUN --network=bridge a", 2, "--network cannot be 'bridge'"),
        FaultyDockerfile("FROM a\nRUN --network=hots a", 2, "--network cannot be", hint: "did you mean host?"),
        FaultyDockerfile("FROM a\nRUN --security=x a", 2, "--security cannot be 'x'"),
        FaultyDockerfile("FROM a\nENV", 2, "ENV: at least one key=value"),
        FaultyDockerfile("FROM a\nLABEL", 2, "LABEL: at least one key=value"),
        FaultyDockerfile("FROM a\nENV a", 2, "'a' has no value", hint: "write key=value"),
        FaultyDockerfile("FROM a\nENV a=b c", 2, "'c' has no '='"), FaultyDockerfile("FROM a\nENV =b", 2, "is empty"),
        FaultyDockerfile("FROM a\nENV a=b =c", 2, "is empty"),
        FaultyDockerfile("FROM a\nLABEL a=b \\\n c", 3, "LABEL: 'c' has no '='"),
        FaultyDockerfile("FROM a\nARG", 2, "at least one name"), FaultyDockerfile("FROM a\nARG =x", 2, "is empty"),
        FaultyDockerfile("FROM a\nARG a =x", 2, "is empty"),
        FaultyDockerfile("FROM a\nEXPOSE", 2, "EXPOSE: at least one"),
        FaultyDockerfile("FROM a\nUSER", 2, "USER: an argument is missing"),
        FaultyDockerfile("FROM a\nWORKDIR", 2, "WORKDIR: an argument is missing"),
        FaultyDockerfile("FROM a\nMAINTAINER", 2, "MAINTAINER: an argument is missing"),
        FaultyDockerfile("FROM a\nSTOPSIGNAL", 2, "STOPSIGNAL: an argument is missing"),
        FaultyDockerfile("FROM a\nSHELL /bin/sh", 2, "JSON form"), FaultyDockerfile("FROM a\nSHELL", 2, "JSON form"),
        FaultyDockerfile("FROM a\nSHELL []", 2, "JSON form", hint: #"write SHELL ["/bin/sh", "-c"]"#),
        FaultyDockerfile("FROM a\nSHELL ['sh']", 2, "JSON form"),
        FaultyDockerfile("FROM a\nVOLUME", 2, "at least one"), FaultyDockerfile("FROM a\nVOLUME []", 2, "at least one"),
        FaultyDockerfile("FROM a\nVOLUME [\"\"]", 2, "path is empty"),
        FaultyDockerfile("FROM a\nVOLUME [\"/a\", \" \"]", 2, "path is empty"),
        FaultyDockerfile("FROM scratch\nVOLUME $x", 2, "path is empty"),
        FaultyDockerfile("FROM scratch\nWORKDIR $x", 2, "path is empty", hint: "'$x' expands to nothing"),
        FaultyDockerfile("FROM a\nSTOPSIGNAL SIGTREM", 2, "no signal", hint: "did you mean SIGTERM?"),
        FaultyDockerfile("FROM a\nSTOPSIGNAL 0", 2, "'0' is no signal"),
        FaultyDockerfile("FROM a\nSTOPSIGNAL 65", 2, "'65' is no signal"),
        FaultyDockerfile("FROM scratch\nSTOPSIGNAL $x", 2, "no signal"),
        FaultyDockerfile("FROM scratch\nEXPOSE ${x:-99999}", 2, "above 65535"),
        FaultyDockerfile("FROM scratch\nEXPOSE 1-65536", 2, "above 65535"),
        FaultyDockerfile("FROM scratch\nEXPOSE 1/foo", 2, "tcp, udp or sctp"),
        FaultyDockerfile("FROM scratch\nEXPOSE 9-8", 2, "ends before"),
        FaultyDockerfile("FROM scratch\nEXPOSE x", 2, "not a number"),
        FaultyDockerfile(
            "FROM scratch\nEXPOSE 0-65535 0-65535 0-65535 1", 2, "more ports than there are"),
        FaultyDockerfile("FROM a\nHEALTHCHECK", 2, "CMD or NONE is needed"),
        FaultyDockerfile("FROM a\nHEALTHCHECK RUN a", 2, "neither CMD nor NONE"),
        FaultyDockerfile("FROM a\nHEALTHCHECK NONE x", 2, "takes no arguments"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --retries=1 NONE", 2, "takes no flags"),
        FaultyDockerfile("FROM a\nHEALTHCHECK CMD", 2, "a command is needed after CMD"),
        FaultyDockerfile("FROM a\nHEALTHCHECK CMD []", 2, "a command is needed after CMD"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --interval=1x CMD a", 2, "'1x' is no duration"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --start-period=1 CMD a", 2, "'1' is no duration"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --interval=1us CMD a", 2, "less than 1ms"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --start-interval=999us CMD a", 2, "less than 1ms"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --timeout=-1s CMD a", 2, "less than 1ms"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --retries=-1 CMD a", 2, "number from 0"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --retries=x CMD a", 2, "number from 0"),
        FaultyDockerfile("FROM a\nHEALTHCHECK --interval=9999999999999h CMD a", 2, "no duration"),
    ]

    /// Instructions that take no flags refuse each.
    private static let flagless = [
        "ARG a", "CMD a", "ENTRYPOINT a", "ENV a=b", "EXPOSE 1", "LABEL a=b", "MAINTAINER a", "SHELL [\"a\"]",
        "STOPSIGNAL TERM", "USER a", "VOLUME /a", "WORKDIR /a", "ONBUILD RUN a",
    ].map { text in
        let words = text.split(separator: " ", maxSplits: 1)
        return FaultyDockerfile("FROM a\n\(words[0]) --x=1 \(words[1])", 2, "\(words[0]) has no flag --x")
    }

    // MARK: JSON form

    private static let json =
        ["RUN", "CMD", "ENTRYPOINT", "SHELL", "HEALTHCHECK CMD", "COPY", "ADD", "VOLUME"].flatMap { name in
            ["[\"a\", 1]", "[[\"a\"]]", "[null, \"b\"]", "[{\"a\": 1}, \"b\"]"].map {
                FaultyDockerfile(
                    "FROM a\n\(name) \($0)", 2, "the JSON form may hold only strings", hint: "write it in double quotes"
                )
            } + [FaultyDockerfile("FROM a\n\(name) [\"a\\u0000b\", \"c\"]", 2, "a string holds a NUL")]
        }

    // MARK: Quotes that do not match

    private static let quotes = [
        "ADD 'a b", "ADD a 'b", "COPY 'a b", "COPY a \"b", "COPY --chown=\\'1 a b", "ADD --checksum=\\\"1 a b",
        "ENV a='b",
        "ENV 'a=b", "ENV a 'b", "LABEL a=\"b", "LABEL 'a=b", "EXPOSE '1", "USER 'a", "WORKDIR \"/a", "VOLUME '/a",
        "VOLUME [\"'a\"]", "STOPSIGNAL 'KILL", "ARG a='b", "ARG \"a=b\"", "RUN --mount=type=cache,target=/\\'x a",
    ].map { FaultyDockerfile("FROM scratch\n\($0)", 2, "quote is not closed") }

    // MARK: ONBUILD

    private static let onbuild = [
        FaultyDockerfile("FROM a\nONBUILD", 2, "instruction is needed"),
        FaultyDockerfile("FROM a\nONBUILD FROM b", 2, "ONBUILD cannot hold FROM"),
        FaultyDockerfile("FROM a\nONBUILD onbuild RUN b", 2, "ONBUILD cannot hold ONBUILD"),
        FaultyDockerfile("FROM a\nONBUILD Maintainer b", 2, "ONBUILD cannot hold MAINTAINER"),
        FaultyDockerfile("FROM a\nONBUILD COPY a", 2, "at least one source"),
        FaultyDockerfile("FROM a\nONBUILD COPY --x a b", 2, "COPY has no flag --x"),
        FaultyDockerfile("FROM a\nONBUILD FOO a", 2, "unknown instruction 'FOO'"),
        // It is expanded where it runs.
        FaultyDockerfile("FROM scratch AS a\nONBUILD WORKDIR ${x:?why}\nFROM a", 3, "x: why"),
    ]

    // MARK: COPY and ADD

    private static let copies = [
        FaultyDockerfile("FROM a\nCOPY a", 2, "at least one source"),
        FaultyDockerfile("FROM a\nCOPY", 2, "at least one source"),
        FaultyDockerfile("FROM a\nADD a", 2, "at least one source", hint: "write ADD <source>... <destination>"),
        FaultyDockerfile("FROM a\nCOPY [\"a\"]", 2, "at least one source"),
        FaultyDockerfile("FROM a\nCOPY --from=a b", 2, "at least one source"),
        FaultyDockerfile("FROM a\nCOPY --from=$x c d", 2, "variables are not replaced in COPY --from"),
        FaultyDockerfile("FROM a\nCOPY --chmod=888 c d", 2, "--chmod: '888' is no mode"),
        FaultyDockerfile("FROM a\nCOPY --chmod=17777 c d", 2, "'17777' is no mode"),
        FaultyDockerfile("FROM a\nADD --chmod=u=z c d", 2, "'u=z' is no mode"),
        FaultyDockerfile("FROM scratch\nCOPY --chmod=${x:-no} a b", 2, "'no' is no mode"),
        FaultyDockerfile("FROM a\nCOPY --exclude=[ c d", 2, "the pattern '[' is malformed"),
        FaultyDockerfile("FROM a\nCOPY --exclude=! c d", 2, "'!' stands alone"),
        FaultyDockerfile("FROM a\nADD --from=x c d", 2, "ADD has no flag --from"),
        FaultyDockerfile("FROM a\nADD --parents c d", 2, "ADD has no flag --parents"),
        FaultyDockerfile("FROM a\nCOPY --unpack c d", 2, "COPY has no flag --unpack"),
        FaultyDockerfile("FROM a\nCOPY --checksum=x c d", 2, "COPY has no flag --checksum"),
        FaultyDockerfile("FROM a\nADD --keep-git-dir=1 c d", 2, "--keep-git-dir is true or false"),
    ]

    // MARK: Mounts

    private static let mounts = [
        ("type=bnid,target=/x", "no type 'bnid'"), ("typ=bind", "no option 'typ'"), ("type=bind,", "no option ''"),
        ("type=bind", "type=bind needs a target"), ("type=cache", "type=cache needs a target"),
        ("type=tmpfs", "type=tmpfs needs a target"), ("type=cache,target=/.", "target cannot be '/.'"),
        ("type=tmpfs,target=/a/..", "target cannot be"), ("target=", "target cannot be ''"),
        ("type=secret,id=a,target=/", "target cannot be '/'"), ("type=ssh,target=/", "target cannot be '/'"),
        ("type=bind,target", "'target' needs a value"), ("from,target=/x", "'from' needs a value"),
        ("sharing=locked,target=/x", "'sharing' does not go with type=bind"),
        ("type=secret,id=a,sharing=locked", "'sharing' does not go with type=secret"),
        ("type=tmpfs,target=/x,sharing=locked", "'sharing' does not go with type=tmpfs"),
        ("type=bind,target=/x,uid=1", "'uid' does not go with type=bind"),
        ("type=bind,target=/x,gid=1", "'gid' does not go with type=bind"),
        ("type=tmpfs,target=/x,mode=0700", "'mode' does not go with type=tmpfs"),
        ("type=bind,target=/x,id=a", "'id' does not go with type=bind"),
        ("type=cache,target=/x,size=1m", "'size' does not go with type=cache"),
        ("type=cache,target=/x,required", "'required' does not go with type=cache"),
        ("type=cache,target=/x,env=A", "'env' does not go with type=cache"),
        ("type=ssh,from=a", "'from' does not go with type=ssh"),
        ("type=secret,id=a,ro", "'ro' does not go with type=secret"),
        ("type=cache,target=/x,sharing=y", "sharing cannot be 'y'"),
        ("type=cache,target=/x,mode=9", "mode '9' is not octal"),
        ("type=secret,id=a,mode=10000", "mode '10000' is not octal"),
        ("type=cache,target=/x,uid=x", "uid 'x' is not a number"), ("type=ssh,gid=-1", "gid '-1' is not a number"),
        ("type=tmpfs,target=/x,size=1x", "size '1x' is no size"), ("type=tmpfs,target=/x,size=-1", "no size"),
        ("type=tmpfs,target=/x,size=99999999999999999999g", "no size"),
        ("type=bind,target=/x,ro=maybe", "'ro' is true or false"), ("type=bind,target=/x,rw=", "'rw' is true or false"),
        ("type=secret,id=a,required=x", "'required' is true or false"), ("type=secret", "type=secret needs an id"),
        ("from=$x,target=/x", "variables are not replaced in --mount from"),
        ("'target=/x,\"'", "the quotes of 'target=/x,\"' do not match"),
        ("'\"target=/x'", "the quotes of '\"target=/x' do not match"),
        ("target=/${x", "the '}' of a ${ is missing"), ("type=${x},target=/x", "no type ''"),
        ("target=/$x", "target cannot be '/'"),
    ].map { FaultyDockerfile("FROM scratch AS s\nRUN --mount=\($0) a", 2, $1) }
}
