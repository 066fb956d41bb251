/// Variables in the order of their first assignment; a later assignment replaces the value in place.
package struct VariableList: Hashable, Sendable {
    package struct Variable: Hashable, Sendable {
        package var name: String
        package var value: String
    }

    package private(set) var variables: [Variable] = []
    private var places: [String: Int] = [:]
    /// Bytes of all names and values.
    private(set) var size = 0

    package init() {}

    /// From `NAME=value` texts as an image configuration has them; one without `=` has an empty value.
    package init(_ assignments: some Sequence<String>) {
        for assignment in assignments {
            let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            self[String(parts[0])] = parts.count == 2 ? String(parts[1]) : ""
        }
    }

    /// `nil` for a variable that is not set; setting `nil` changes nothing, since the language cannot unset.
    package subscript(name: String) -> String? {
        get { places[name].map { variables[$0].value } }
        set {
            guard let newValue else { return }
            if let place = places[name] {
                size += newValue.utf8.count - variables[place].value.utf8.count
                variables[place].value = newValue
            } else {
                places[name] = variables.count
                variables.append(Variable(name: name, value: newValue))
                size += name.utf8.count + newValue.utf8.count
            }
        }
    }

    /// `NAME=value` texts in order.
    package var assignments: [String] { variables.map { "\($0.name)=\($0.value)" } }
}
