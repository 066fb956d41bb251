import Layers
import OCI
import Synchronization

/// What layers hold that a stage has written and not laid out, so that names can be looked up in them.
final class WrittenLayers: Sendable {
    private enum Content {
        case entries([LayerEntry])
        case index(LayerIndex)
    }

    private let layers = Mutex<[Digest: Content]>([:])

    func remember(_ layer: StoredLayer, entries: [LayerEntry]) {
        layers.withLock { $0[layer.layer.diffID] = .entries(entries) }
    }

    func contains(_ layer: StoredLayer) -> Bool {
        layers.withLock { $0[layer.layer.diffID] != nil }
    }

    /// The index of a remembered layer, made when it is first asked for: most layers are never looked at.
    func index(of layer: StoredLayer) -> LayerIndex? {
        layers.withLock { layers in
            switch layers[layer.layer.diffID] {
            case nil: return nil
            case .index(let index): return index
            case .entries(let entries):
                let index = LayerIndex(entries)
                layers[layer.layer.diffID] = .index(index)
                return index
            }
        }
    }
}
