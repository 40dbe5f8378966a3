#!/usr/bin/env bash
# record-runs.sh KVLAB: the runs behind the README's figures and docs/runs/spine.md, on this machine.
# Keep the machine otherwise idle: everything here is wall-clock time.
set -euo pipefail
kvlab=$(realpath "$1")
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
# Each lane in a run of its own, five times over, the lanes taking turns: no other lane empties the processor's caches.
alone=$(mktemp -d)
trap 'rm -rf "$alone"' EXIT
echo lane,repeat,itl_first_64_median_secs,itl_last_64_median_secs,itl_last_over_first >story-alone.csv
for repeat in 1 2 3 4 5; do
    for lane in none contiguous paged:16 paged:16+int8; do
        "$kvlab" run --model story --tokens 512 --lanes "$lane" --out "$alone" >"$alone/table.txt"
        python3 - "$alone/summary.json" "$repeat" >>story-alone.csv <<'PYTHON'
import json, sys
[lane] = json.load(open(sys.argv[1]))
edges = [lane["itl_first_64_median_secs"], lane["itl_last_64_median_secs"], lane["itl_last_over_first"]]
print(lane["lane"], sys.argv[2], *(f"{x:.7g}" for x in edges), sep=",")
PYTHON
    done
done
cat story-alone.csv
record story --model story --tokens 512 --lanes none,concat,contiguous,paged:16,contiguous+int8,paged:16+int8
record gpt2 --model shape:gpt2 --tokens 512 --lanes none,concat,contiguous,paged:16
