import Testing

@testable import Dockerfile

@Suite("Heredocs")
struct HeredocTests {
    /// Lines after FROM, and the command.
    @Test(
        "RUN: a whole-argument heredoc is the script, #! makes it a program, anything else goes to the shell",
        arguments: [
            ("RUN <<EOF\na\nb\nEOF\n", RunInstruction.Command.shell("a\nb\n")),
            ("RUN <<'EOF'\n$a\nEOF\n", .shell("$a\n")),
            ("RUN <<-EOF\n\ta\n\t\t b\n\tEOF\n", .shell("a\n b\n")),
            ("RUN << EOF\na\nEOF\n", .shell("a\n")),
            ("RUN 3<<EOF\na\nEOF\n", .shell("a\n")),
            ("RUN <<EOF\n#!/bin/x\na\nEOF", .script(name: "EOF", contents: "#!/bin/x\na\n")),
            ("RUN cat <<A >x && b <<-B\n1\nA\n\t2\n\tB\n", .shell("cat <<A >x && b <<-B\n1\nA\n\t2\nB")),
            ("RUN <<EOF cat\na\nEOF", .shell("<<EOF cat\na\nEOF")),
            ("RUN a <<EOF \\\n b\n# kept\n\n c \\\nEOF\n", .shell("a <<EOF  b\n# kept\n\n c \\\nEOF")),
            ("RUN a <<<EOF", .shell("a <<<EOF")), ("RUN echo \"<<EOF\"", .shell("echo \"<<EOF\"")),
            ("RUN a <<", .shell("a <<")), ("RUN cat<<EOF", .shell("cat<<EOF")),
            ("RUN echo it's <<EOF", .shell("echo it's <<EOF")), ("RUN [\"<<EOF\"]", .exec(["<<EOF"])),
            ("RUN <<EOF\na\r\nEOF\r\n", .shell("a\r\n")),
        ])
    func run(text: String, command: RunInstruction.Command) throws {
        #expect(try DockerfileTests.run(text)?.command == command)
    }

    /// COPY line with bodies, its sources, and which of them are expanded.
    @Test(
        "COPY: each heredoc is a source named by its word",
        arguments: [
            ("COPY <<A /x\n1\nA\n", ["<<A:1\n"], [true]),
            ("COPY <<A b <<\"B C\" /x/\n1\nA\n2\nB C\n", ["<<A:1\n", "b", "<<B C:2\n"], [true, false]),
            ("COPY <<'E'OF /x\n\nEOF\n", ["<<EOF:\n"], [false]),
            ("COPY <<-A /x\n\t1\n\tA\n", ["<<A:1\n"], [true]),
            ("COPY << A /x\n1\nA\n", ["<<A:1\n"], [true]),
            ("COPY <<A <<A /x/\n1\nA\n2\nA\n", ["<<A:2\n", "<<A:2\n"], [true, true]),
        ])
    func copies(text: String, sources: [String], expands: [Bool]) throws {
        let copy = try copy(text)
        #expect(copy?.sources.map(\.text) == sources)
        let found = copy?.sources.compactMap { source in
            if case .heredoc(let heredoc) = source { heredoc.expands } else { nil }
        }
        #expect(found == expands)
    }

    @Test("an unquoted body is expanded with quotes left alone and backslashes eaten")
    func expansion() throws {
        let text = "FROM scratch\nENV a=1\nCOPY <<A <<'B' /x/\n$a \"${a}\" 'it' \\$a \\\\ \\n\nA\n$a\nB\n"
        let (_, instructions) = try evaluate(text)
        guard case .copy(let copy)? = instructions.last?.kind else {
            Issue.record("no COPY")
            return
        }
        #expect(copy.sources.map(\.text) == ["<<A:1 \"1\" 'it' $a \\ n\n", "<<B:$a\n"])
    }
}
