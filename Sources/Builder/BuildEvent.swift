package import OCI

/// What a build tells while it runs. Reporters decide what people see of it.
package enum BuildEvent: Sendable {
    /// A fact worth a line: the isolation that was chosen, the commit that was checked out.
    case note(String)
    /// Something that the user may want to change, and that did not stop the build.
    case warning(String)
    /// Detail for `--verbosity debug`.
    case detail(String)
    case stageStarted(stage: String, base: String)
    /// `number` counts the instructions of all stages that are built, from 1 to `count`.
    case stepStarted(number: Int, count: Int, stage: String, text: String)
    /// `layer` is `nil` for a step that makes none, `cachedIn` for one that was done.
    case stepFinished(number: Int, seconds: Double, layer: Descriptor?, cachedIn: String?)
    /// Bytes that a RUN wrote, as they came. They may end inside a line or a character. `stage` is told where several stages may
    /// write at the same time.
    case output([UInt8], stage: String?)
    /// A blob that has been on its way for long: how much of it has arrived.
    case transferring(Descriptor, bytes: Int64, Way)
    case baseFetched(Descriptor, from: String, seconds: Double)
    case pushed(Descriptor, to: String, how: PushOutcome)
    case published(reference: String, digest: Digest)
    case wrote(path: String, bytes: Int64)

    /// Where a blob comes from, or goes to.
    package enum Way: Sendable {
        case from(String)
        case to(String)
    }

    /// How a blob came to be in the destination repository.
    package enum PushOutcome: String, Sendable {
        case uploaded, mounted, present
    }
}

/// Where events go: called from any thread, never blocking for long.
package typealias EventSink = @Sendable (BuildEvent) -> Void
