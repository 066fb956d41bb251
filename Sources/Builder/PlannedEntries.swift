import Layers

/// What a plan holds, by path and in the order of planning.
///
/// An item is ten times as large as what finds it: items lie side by side and stay where they are, however many there are.
struct PlannedEntries {
    private var places: [ImagePath: Int32] = [:]
    private var items: [LayerPlan.Planned?] = []

    var isEmpty: Bool { places.isEmpty }

    /// In the order in which their paths were planned first.
    var values: some Sequence<LayerPlan.Planned> { items.lazy.compactMap { $0 } }

    subscript(path: ImagePath) -> LayerPlan.Planned? {
        places[path].flatMap { items[Int($0)] }
    }

    /// Plans an item at a path.
    ///
    /// - Returns: whether nothing was planned there.
    mutating func set(_ item: LayerPlan.Planned, at path: ImagePath) -> Bool {
        if let place = places[path] {
            items[Int(place)] = item
            return false
        }
        places[path] = Int32(items.count)
        items.append(item)
        return true
    }

    mutating func remove(_ path: ImagePath) {
        guard let place = places.removeValue(forKey: path) else { return }
        items[Int(place)] = nil
    }

    /// Hands out the items and the markers in the order in which layers hold them.
    func forEachInLayerOrder(
        with markers: [LayerPlan.Planned], _ body: (LayerPlan.Planned) throws -> Void
    ) rethrows {
        struct Key {
            let entry: LayerEntry
            /// Below 0: a marker.
            let place: Int
        }
        var keys: [Key] = []
        keys.reserveCapacity(places.count + markers.count)
        for (place, item) in items.enumerated() {
            if let item { keys.append(Key(entry: item.entry, place: place)) }
        }
        for (place, marker) in markers.enumerated() { keys.append(Key(entry: marker.entry, place: -1 - place)) }
        keys.sort { $0.entry.precedes($1.entry) }
        for key in keys {
            if key.place < 0 {
                try body(markers[-1 - key.place])
            } else if let item = items[key.place] {
                try body(item)
            }
        }
    }
}
