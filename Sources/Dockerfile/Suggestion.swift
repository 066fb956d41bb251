/// "Did you mean ...?", from the edit distance between what was written and what is known.
package enum Suggestion {
    /// The known name nearest to `written`, if it is near enough to be what was meant: at most one edit for
    /// names of up to three letters, two for longer ones. Letter case does not count.
    package static func nearest(to written: String, in known: some Sequence<String>) -> String? {
        // A longer text is no misspelt name, and the distance takes quadratic time.
        guard written.utf8.count <= 64 else { return nil }
        let target = Array(written.lowercased().unicodeScalars)
        var best: (name: String, distance: Int)?
        for name in known where name.utf8.count <= 64 {
            let candidate = Array(name.lowercased().unicodeScalars)
            let allowed = min(target.count, candidate.count) <= 3 ? 1 : 2
            guard abs(candidate.count - target.count) <= allowed else { continue }
            let distance = distance(from: target, to: candidate)
            if distance <= allowed, distance < best?.distance ?? .max { best = (name, distance) }
        }
        return best?.name
    }

    /// The hint for `written`, or `nil` if nothing known is near.
    package static func hint(for written: String, in known: some Sequence<String>) -> String? {
        nearest(to: written, in: known).map { "did you mean \($0)?" }
    }

    /// How many letters must be inserted, removed, replaced or swapped with their neighbour (the restricted
    /// Damerau-Levenshtein distance).
    private static func distance(from: [Unicode.Scalar], to: [Unicode.Scalar]) -> Int {
        guard !from.isEmpty, !to.isEmpty else { return max(from.count, to.count) }
        var beforePrevious: [Int] = []
        var previous = Array(0...to.count)
        for row in 1...from.count {
            var current = [row]
            for column in 1...to.count {
                var cost = min(
                    previous[column] + 1, current[column - 1] + 1,
                    previous[column - 1] + (from[row - 1] == to[column - 1] ? 0 : 1))
                if row > 1, column > 1, from[row - 1] == to[column - 2], from[row - 2] == to[column - 1] {
                    cost = min(cost, beforePrevious[column - 2] + 1)
                }
                current.append(cost)
            }
            beforePrevious = previous
            previous = current
        }
        return previous[to.count]
    }
}
