package struct ExposeInstruction: Hashable, Sendable {
    /// As written, or, once expanded, one word per port specification.
    package var words: [Word]

    /// Three protocols have no more ports than these; without a bound, a short text of ranges would fill the memory.
    private static let maximumCount = 3 * 65536

    /// The ports of an expanded instruction in order, as the image configuration names them: `80/tcp`.
    /// - Throws: at the first word that is no port, no range of ports, or names an unknown protocol.
    package func ports() throws(DockerfileError) -> [String] {
        try check()
        var ports: [String] = []
        for word in words {
            let (range, transport) = try Self.range(in: word)
            ports += range.map { "\($0)/\(transport)" }
        }
        return ports
    }

    /// Checks an expanded instruction without making the list of its ports.
    /// - Throws: as `ports()`.
    func check() throws(DockerfileError) {
        var count = 0
        for word in words {
            count += try Self.range(in: word).ports.count
            guard count <= Self.maximumCount else {
                throw DockerfileError("EXPOSE names more ports than there are", at: word.range)
            }
        }
    }

    /// `[[ip:]host:]port[-port][/protocol]`: the ports of the container.
    private static func range(
        in word: Word
    ) throws(DockerfileError) -> (ports: ClosedRange<Int>, transport: String) {
        func fault(_ reason: String) -> DockerfileError {
            DockerfileError(
                "'\(word.text)' is no port: \(reason)", at: word.range, hint: "write 80, 80/udp or 8000-8010/tcp")
        }
        let parts = word.text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        // `80/` is `80/tcp`, too.
        let transport = parts.count == 2 && !parts[1].isEmpty ? parts[1].lowercased() : "tcp"
        guard ["tcp", "udp", "sctp"].contains(transport) else {
            throw fault("the protocol is not tcp, udp or sctp")
        }
        // What stands before the last colon is the host's side, which an image cannot choose.
        let container = parts[0].split(separator: ":", omittingEmptySubsequences: false).last ?? ""
        let ends = container.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        var numbers: [Int] = []
        for end in ends {
            guard !end.isEmpty, end.utf8.allSatisfy(\.isDigit) else { throw fault("it is not a number") }
            guard let number = Int(end), number <= 65535 else { throw fault("it is above 65535") }
            numbers.append(number)
        }
        guard let first = numbers.first, let last = numbers.last, first <= last else {
            throw fault("the range ends before it starts")
        }
        return (first...last, transport)
    }
}
