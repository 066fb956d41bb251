/// The signals that STOPSIGNAL may name: those of Linux.
enum StopSignal {
    private static let names: Set<String> = {
        var names: Set = [
            "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
            "POLL",
            "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG",
            "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
        ]
        // The real-time signals 34 to 64 are named from both ends.
        for step in 1...15 { names.insert("RTMIN+\(step)") }
        for step in 1...14 { names.insert("RTMAX-\(step)") }
        return names
    }()

    /// - Throws: unless the word, its quotes removed, is a signal's name, with or without SIG, or its number.
    static func check(_ word: Word, escape: UInt8) throws(DockerfileError) {
        let text = try WordExpansion(escape: escape) { _ in nil }.expand(word)
        try check(expanded: Word(text, range: word.range))
    }

    static func check(expanded word: Word) throws(DockerfileError) {
        if let number = Int(word.text) {
            if (1...64).contains(number) { return }
        } else {
            let name = word.text.uppercased()
            if names.contains(name.hasPrefix("SIG") ? String(name.dropFirst(3)) : name) { return }
        }
        throw DockerfileError(
            "STOPSIGNAL: '\(word.text)' is no signal", at: word.range,
            hint: Suggestion.hint(for: word.text, in: names.map { "SIG" + $0 }.sorted())
                ?? "write a name like SIGTERM or a number from 1 to 64")
    }
}
