/// Durations as Go's `time.ParseDuration` reads them: `1h2m3.5s`, `500ms`, `0`.
enum GoDuration {
    private static let units: [(name: String, nanoseconds: Int64)] = [
        // Longer names first, so that "ms" is not read as "m".
        ("ns", 1), ("us", 1_000), ("µs", 1_000), ("μs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ("m", 60 * 1_000_000_000), ("h", 3600 * 1_000_000_000),
    ]

    /// `nil` if the text is no duration or does not fit.
    static func nanoseconds(_ text: String) -> Int64? {
        var rest = Array(text.utf8)[...]
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative || rest.first == UInt8(ascii: "+") { rest.removeFirst() }
        if rest.elementsEqual("0".utf8) { return 0 }
        guard !rest.isEmpty else { return nil }

        var total: Int64 = 0
        while !rest.isEmpty {
            let whole = rest.prefix(while: \.isDigit)
            rest = rest.dropFirst(whole.count)
            var fraction = rest[rest.startIndex..<rest.startIndex]
            if rest.first == UInt8(ascii: ".") {
                fraction = rest.dropFirst().prefix(while: \.isDigit)
                rest = rest.dropFirst(fraction.count + 1)
            }
            guard !whole.isEmpty || !fraction.isEmpty else { return nil }
            guard let unit = units.first(where: { rest.starts(with: $0.name.utf8) }) else { return nil }
            rest = rest.dropFirst(unit.name.utf8.count)
            guard let part = nanoseconds(whole, fraction, unit: unit.nanoseconds) else { return nil }
            let (sum, overflow) = total.addingReportingOverflow(part)
            guard !overflow else { return nil }
            total = sum
        }
        return isNegative ? -total : total
    }

    private static func nanoseconds(_ whole: ArraySlice<UInt8>, _ fraction: ArraySlice<UInt8>, unit: Int64) -> Int64? {
        guard let count = whole.isEmpty ? 0 : Int64(String(decoding: whole, as: UTF8.self)) else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit)
        guard !overflow else { return nil }
        // Digits beyond the 18th are far below a nanosecond.
        var part = 0.0
        var scale = Double(unit)
        for digit in fraction.prefix(18) {
            scale /= 10
            part += Double(digit - UInt8(ascii: "0")) * scale
        }
        let (sum, tooLong) = product.addingReportingOverflow(Int64(part + 1e-6))
        return tooLong ? nil : sum
    }
}
