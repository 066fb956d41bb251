import Testing

@testable import Dockerfile

@Suite("Values of --chmod")
struct FileModeTests {
    static let place = SourceRange(line: 1)

    /// Value, mode before, whether a directory, mode after: what chmod(1) with umask 0 gives.
    @Test(
        "octal replaces, symbolic changes",
        arguments: [
            ("755", 0o4644, false, 0o755), ("0644", 0o777, true, 0o644), ("4755", 0, false, 0o4755),
            ("0", 0o777, false, 0),
            ("00000644", 0, false, 0o644), ("u=rwX,go=rX", 0o600, false, 0o644), ("u=rwX,go=rX", 0o700, true, 0o755),
            ("u=rwX,go=rX", 0o755, false, 0o755), ("+x", 0o644, false, 0o755), ("a-w", 0o666, false, 0o444),
            ("go=u", 0o640, false, 0o666), ("g=o", 0o604, false, 0o644), ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, true, 0o2755), ("+t", 0o755, true, 0o1755), ("o=", 0o777, false, 0o770),
            ("u=rw+x", 0o000, false, 0o700),
            ("ug+rw,o-rwx", 0o007, false, 0o660), ("a=,u+r", 0o7777, false, 0o400), ("+X", 0o644, false, 0o644),
            ("+X", 0o644, true, 0o755), ("a-x,+X", 0o755, false, 0o644), ("g=u-w", 0o700, false, 0o750),
        ])
    func values(text: String, before: UInt16, isDirectory: Bool, after: UInt16) throws {
        let mode = try FileMode(parsing: Word(text, range: Self.place))
        #expect(mode.apply(to: before, isDirectory: isDirectory) == after)
    }

    @Test(
        "anything else is an error",
        arguments: [
            "", "8", "17777", "rwx", "u", "u=z", "u+r,", ",u+r", "u=gx", "=rw x", "-1", "0o755", "777777777777",
        ])
    func faults(text: String) {
        let error = fault { () throws(DockerfileError) in _ = try FileMode(parsing: Word(text, range: Self.place)) }
        #expect(error?.message.contains("is no mode") == true)
        #expect(error?.range == Self.place)
    }
}
