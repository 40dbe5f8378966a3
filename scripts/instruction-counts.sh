#!/usr/bin/env bash
# instruction-counts.sh [--update]: counts the instructions of the cache's integer operations under callgrind and compares them
# with benches/instructions.json. Fails if any takes over 2 % more. --update writes the file instead; commit it with the change that
# is worth the instructions. Counts are the same in every run and folder, however busy the machine, but other compilers give other
# counts, so with another than the file's it prints and does not judge.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=compare
case "${1-}" in
'') ;;
--update) mode=update ;;
*)
    echo "usage: scripts/instruction-counts.sh [--update]" >&2
    exit 2
    ;;
esac

if ! command -v valgrind >/dev/null; then
    sudo=()
    if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" apt-get install -y -qq --no-install-recommends valgrind >/dev/null
fi

# As every bench is built, but with its symbols, by which callgrind finds the function `measured`.
binary=$(cargo rustc --quiet --profile bench --bench instructions --message-format json -- -C strip=none | python3 -c '
import json, sys
built = [json.loads(line) for line in sys.stdin]
print(next(b["executable"] for b in built if b.get("target", {}).get("name") == "instructions" and b.get("executable")))')

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$binary" --list >"$folder/operations"
while read -r operation times; do
    if ! valgrind --tool=callgrind --toggle-collect='*measured*' --callgrind-out-file="$folder/profile" \
        "$binary" "$operation" >"$folder/log" 2>&1 </dev/null; then
        cat "$folder/log" >&2
        exit 1
    fi
    echo "$operation $times $(sed -n 's/^totals: //p' "$folder/profile")"
done <"$folder/operations" >"$folder/counts"

python3 - "$mode" "$(rustc -vV | sed -n 's/^release: //p') $(rustc -vV | sed -n 's/^host: //p')" "$folder/counts" <<'PYTHON'
import json
import sys

FILE = "benches/instructions.json"
# For another C library; counts of one compiler are the same in any folder, since the crate is one codegen unit (Cargo.toml).
MOST = 0.02
mode, rustc, counts = sys.argv[1:]
rows = [line.split() for line in open(counts)]
new = {name: int(count) for name, _, count in rows}
if not all(new.values()):
    sys.exit("callgrind counted nothing: is `measured` still a function of its own?")
try:
    old = json.load(open(FILE))
except FileNotFoundError:
    old = {"rustc": rustc, "instructions": {}}
before = old["instructions"]

print(f"{'operation':<26} {'before':>12} {'now':>12} {'change':>9} {'each':>10}")
rose, unknown = [], []
for name, times, count in rows:
    count, was = int(count), before.get(name)
    change = (count - was) / was if was else None
    if change is None:
        unknown.append(name)
    elif change > MOST:
        rose.append(name)
    mark = " <- rose" if name in rose else ""
    shown = f"{change:+.2%}" if was else "new"
    print(f"{name:<26} {was if was else '-':>12} {count:>12} {shown:>9} {count / int(times):>10.1f}{mark}")
gone = [name for name in before if name not in new]

if mode == "update":
    with open(FILE, "w") as file:
        json.dump({"rustc": rustc, "instructions": new}, file, indent=2)
        file.write("\n")
    print(f"{FILE} is written; commit it")
elif old["rustc"] != rustc:
    print(f"warning: {FILE} was counted with rustc {old['rustc']}, this is {rustc}: nothing was judged. "
          "scripts/instruction-counts.sh --update counts anew")
elif rose or unknown or gone:
    for what, names in [(f"more than {MOST:.0%} more instructions", rose), (f"not in {FILE}", unknown), (f"only in {FILE}", gone)]:
        if names:
            print(f"{what}: {', '.join(names)}")
    print("If that is meant, scripts/instruction-counts.sh --update writes the new counts; commit them with the reason")
    sys.exit(1)
else:
    print(f"no operation takes more than {MOST:.0%} more instructions than before")
PYTHON
