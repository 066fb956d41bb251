#!/usr/bin/env bash
# Checks the one rule of the house: a target imports only targets of lower floors, never one of its own floor.
# It also checks that each C library is imported by the one target that owns it, and that nothing imports Foundation in full.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A floor=(
    [imgbuild]=4
    [Builder]=3
    [Registry]=2 [Layers]=2 [Sandbox]=2
    [OCI]=1 [Dockerfile]=1 [SystemIO]=1
    [CCurl]=0 [CArchive]=0 [CCrypto]=0 [CZlib]=0 [CISAL]=0 [CZstd]=0 [CSpawn]=0 [CSupervisor]=0
)
declare -A owner=(
    [CCurl]=Registry [CArchive]=Layers
    [CCrypto]=SystemIO [CZlib]=SystemIO [CISAL]=SystemIO [CZstd]=SystemIO [CSpawn]=SystemIO [CSupervisor]=SystemIO
)

faults=0
fault() {
    echo "$1" >&2
    faults=1
}

while IFS=: read -r file line statement; do
    target=${file#Sources/}
    target=${target%%/*}
    imported=$(sed -E 's/^.*\<import +((struct|class|enum|protocol|func|var|let|typealias) +)?([A-Za-z0-9_]+).*$/\3/' <<<"$statement")
    if [[ -z ${floor[$target]:-} ]]; then
        fault "$file: target $target has no floor (scripts/check-floors.sh)"
    elif [[ $imported == Foundation ]]; then
        fault "$file:$line: imports Foundation; FoundationEssentials is enough, and starts faster"
    elif [[ -n ${floor[$imported]:-} && ${floor[$imported]} -ge ${floor[$target]} ]]; then
        fault "$file:$line: $target (floor ${floor[$target]}) imports $imported (floor ${floor[$imported]})"
    elif [[ -n ${owner[$imported]:-} && ${owner[$imported]} != "$target" ]]; then
        fault "$file:$line: $target imports $imported, which belongs to ${owner[$imported]}"
    fi
done < <(grep -rnE --include='*.swift' '^(@[A-Za-z_()]+ +)*((package|public|internal|fileprivate|private) +)?import +' Sources)
exit "$faults"
