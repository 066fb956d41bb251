// https://www.rfc-editor.org/rfc/rfc3339

import SystemIO

extension Timestamp {
    /// An instant of the Gregorian calendar in UTC; `nil` when there is no such day or time.
    ///
    /// - Parameters:
    ///   - month: from 1.
    ///   - clock: hours, minutes, seconds.
    init?(year: Int64, month: Int, day: Int64, clock: [Int64]) {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1600...9999).contains(year), (1...12).contains(month), (1...lengths[month - 1]).contains(day),
            clock.count == 3, (0...23).contains(clock[0]), (0...59).contains(clock[1]), (0...60).contains(clock[2])
        else { return nil }
        let past = year - 1
        let days = past * 365 + past / 4 - past / 100 + past / 400 + lengths[..<(month - 1)].reduce(0, +) + day - 1
        // Days from 1 January of the year 1 to 1 January 1970.
        let epoch: Int64 = 719_162
        self.init(seconds: (days - epoch) * 86400 + clock[0] * 3600 + clock[1] * 60 + clock[2])
    }

    /// Reads `2026-11-22T19:20:00Z`, also with fractions of a second, which are dropped, and with an offset as `+01:00`.
    init?(rfc3339 text: String) {
        guard text.utf8.count <= 40,
            let match = text.wholeMatch(
                of:
                    /(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):?(\d\d))/
            ), let year = Int64(match.1), let month = Int(match.2), let day = Int64(match.3),
            let hours = Int64(match.4),
            let minutes = Int64(match.5), let seconds = Int64(match.6),
            let local = Timestamp(year: year, month: month, day: day, clock: [hours, minutes, seconds])
        else { return nil }
        var offset: Int64 = 0
        if let sign = match.7, let hours = match.8.flatMap({ Int64($0) }), let minutes = match.9.flatMap({ Int64($0) })
        {
            offset = (hours * 60 + minutes) * (sign == "-" ? -60 : 60)
        }
        self.init(seconds: local.seconds - offset)
    }
}
