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
        guard let day = Int64(day), let month = months.firstIndex(of: month), var year = Int64(year), clock.count == 3,
            (0...23).contains(clock[0]), (0...59).contains(clock[1]), (0...60).contains(clock[2])
        else { return nil }
        // Two digits, as POSIX reads them.
        if year < 100 { year += year < 70 ? 2000 : 1900 }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1600...9999).contains(year), (1...lengths[month]).contains(day) else { return nil }
        let past = year - 1
        let days = past * 365 + past / 4 - past / 100 + past / 400 + lengths[..<month].reduce(0, +) + day - 1
        // Days from 1 January of the year 1 to 1 January 1970.
        let epoch: Int64 = 719_162
        return Timestamp(seconds: (days - epoch) * 86400 + clock[0] * 3600 + clock[1] * 60 + clock[2])
    }
}
