#!/usr/bin/env bash
# record-runs.sh KVLAB [story | gpt2]: the runs behind the README's figures and docs/runs/spine.md, on this machine.
# Keep the machine otherwise idle: everything here is wall-clock time.
set -euo pipefail
kvlab=$(realpath "$1")
part=${2:-all}
cd "$(dirname "$0")/../docs/runs"

"$kvlab" doctor | tee doctor.txt
record() {
    local name=$1
    shift
    "$kvlab" run "$@" --out "$name" | tee "$name.txt"
    mv "$name.txt" "$name/table.txt"
    # The header says which machine, model and commit; the records are in records.csv as well.
    head -n 1 "$name/trace.jsonl" >"$name/header.json"
    rm "$name/trace.jsonl" "$name"/*.png
}
if [ "$part" != story ]; then
    record gpt2 --model shape:gpt2 --tokens 512 --lanes none,concat,contiguous,paged:16
fi
if [ "$part" = gpt2 ]; then exit; fi
# What company costs a lane of a small model: each lane in a run of its own, and all in one, with and without the rehearsal
# that should make them equal; five rounds of this, so that what the machine does meanwhile happens to all of them.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo arm,lane,repeat,itl_first_64_median_secs,itl_last_64_median_secs,itl_last_over_first >story-company.csv
story() {
    local arm=$1 repeat=$2
    shift 2
    "$kvlab" run --model story --tokens 512 "$@" --out "$scratch" >"$scratch/table.txt"
    python3 - "$scratch/summary.json" "$arm" "$repeat" >>story-company.csv <<'PYTHON'
import json, sys
for lane in json.load(open(sys.argv[1])):
    edges = [lane["itl_first_64_median_secs"], lane["itl_last_64_median_secs"], lane["itl_last_over_first"]]
    print(sys.argv[2], lane["lane"], sys.argv[3], *(f"{x:.7g}" for x in edges), sep=",")
PYTHON
}
company=none,contiguous,paged:16,paged:16+int8
for repeat in 1 2 3 4 5; do
    for lane in ${company//,/ }; do story alone "$repeat" --lanes "$lane"; done
    story company "$repeat" --lanes "$company"
    story company-unrehearsed "$repeat" --lanes "$company" --no-rehearsal
done
cat story-company.csv
record story --model story --tokens 512 --lanes none,concat,contiguous,paged:16,contiguous+int8,paged:16+int8
