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
record story --model story --tokens 512 --lanes none,concat,contiguous,paged:16,contiguous+int8,paged:16+int8
record gpt2 --model shape:gpt2 --tokens 512 --lanes none,concat,contiguous,paged:16
