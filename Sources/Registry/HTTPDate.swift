// https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7

import SystemIO

/// Instants as HTTP headers write them.
enum HTTPDate {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Reads the usual form and both obsolete ones; `nil` for anything else.
    ///
    /// ```
    /// Sun, 06 Nov 1994 08:49:37 GMT
    /// Sunday, 06-Nov-94 08:49:37 GMT
    /// Sun Nov  6 08:49:37 1994
    /// ```
    static func parse(_ text: String) -> Timestamp? {
        // No date is longer than "Wednesday, 30-September-2026 ...": a server may send any text.
        guard text.utf8.count <= 40 else { return nil }
        let words = text.split { " ,-".contains($0) }.map(String.init)
        if words.count == 6, words[5] == "GMT" || words[5] == "UTC" {
            return instant(day: words[1], month: words[2], year: words[3], time: words[4])
        }
        guard words.count == 5 else { return nil }
        return instant(day: words[2], month: words[1], year: words[4], time: words[3])
    }

    private static func instant(day: String, month: String, year: String, time: String) -> Timestamp? {
        let clock = time.split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) ?? -1 }
        guard let day = Int64(day), let month = months.firstIndex(of: month), var year = Int64(year)
        else { return nil }
        // Two digits, as POSIX reads them.
        if year < 100 { year += year < 70 ? 2000 : 1900 }
        return Timestamp(year: year, month: month + 1, day: day, clock: clock)
    }
}
