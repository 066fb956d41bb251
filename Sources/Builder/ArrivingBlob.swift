import SystemIO

/// A blob that is being written into the state folder, and can be read meanwhile.
final class ArrivingBlob: Sendable {
    let file: OwnedDescriptor
    let growth = FileGrowth()

    init(writtenTo file: borrowing OwnedDescriptor) throws(SystemError) {
        let copy = try file.duplicate()
        self.file = copy
    }
}
