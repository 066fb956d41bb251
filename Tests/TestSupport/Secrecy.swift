import FoundationEssentials
import Synchronization

/// What no output of the program may hold: every secret of the tests.
///
/// Secrets that tests make up have one of the words `s3cret`, `hunter2` and `correct-horse` in them; those that a server makes up
/// are added when it starts. Each output of imgbuild that passes through `Program` or `RunningProgram` is searched for them, also when it
/// crashed, in the plain and in base64, as HTTP Basic and docker's configuration have it.
package enum Secrecy {
    private static let words = ["s3cret", "hunter2", "correct-horse"]
    private static let added = Mutex<Set<String>>([])
    private static let markedForms = words.flatMap(forms)

    /// Has a secret looked for from now on.
    package static func add(_ secret: String) {
        guard !secret.isEmpty else { return }
        added.withLock { _ = $0.insert(secret) }
    }

    /// The first secret that is in a text, as it stands there.
    package static func leak(in text: String) -> String? {
        let others = added.withLock { Array($0) }.flatMap(forms)
        return (markedForms + others).first { text.contains($0) }
    }

    /// A secret as it is, and what is certain of its base64 wherever it begins in what was encoded.
    private static func forms(_ secret: String) -> [String] {
        let bytes = Array(secret.utf8)
        return [secret]
            + (0..<3).map { shift in
                let encoded = Array(Data([UInt8](repeating: 0, count: shift) + bytes).base64EncodedString())
                // A digit stands for 6 bits: those that also depend on what is before or after are left out.
                let first = (8 * shift + 5) / 6
                let last = 8 * (shift + bytes.count) / 6
                return String(encoded[first..<last])
            }
    }

    /// - Throws: `ProgramError` if an output of imgbuild holds a secret.
    static func check(_ outcome: Program.Outcome, of arguments: [String]) throws {
        guard let program = arguments.first, program == "imgbuild" || program.hasSuffix("/imgbuild") else { return }
        for (name, text) in [("standard output", outcome.text), ("standard error", outcome.errorText)] {
            guard let secret = leak(in: text) else { continue }
            let line = text.split(separator: "\n").first { $0.contains(secret) } ?? ""
            throw ProgramError(arguments: [program], problem: "has a secret on \(name), '\(secret)': \(line)")
        }
    }
}
