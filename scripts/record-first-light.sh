#!/usr/bin/env bash
# record-first-light.sh KVLAB [pictures]: the pictures and figures of docs/runs/first-light.md, on this machine. Keep it otherwise idle.
# Needs what the window's smoke test needs (a virtual X display), and cargo for the bench.
set -euo pipefail
kvlab=$(realpath "$1")
cd "$(dirname "$0")/.."
mkdir -p docs/runs/first-light
out=$(realpath docs/runs/first-light)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "== pictures from a trace, without a display"
"$kvlab" run --tokens 200 --attention contiguous --fork paged:16@60 --fork paged:16@120 --out "$scratch/run" >"$scratch/table"
head -n 6 "$scratch/table"
head -n 1 "$scratch/run/trace.jsonl" >"$out/header.json"
for pane in cost attention blocks; do
    # By its name alone, which the picture shows.
    (cd "$scratch/run" && "$kvlab" app --trace trace.jsonl --pane "$pane" --screenshot "$out/$pane.png")
done

if [ "${2:-}" = pictures ]; then exit; fi

echo "== frame times of a real window while four lanes decode, each pane shown"
for pane in cost attention blocks; do
    echo "-- $pane"
    xvfb-run --auto-servernum --server-args='-screen 0 1280x800x24' "$kvlab" app --tokens 300 --pane "$pane" --autorun \
        --screenshot "$scratch/window.png" --in-window --frame-times "$out/frames-$pane.csv"
done | tee "$out/frames.txt"

echo "== criterion"
cargo bench --bench decode -- --noplot | tee "$scratch/bench"
python3 - target/criterion <<'PYTHON' >"$out/decode.csv"
import json, pathlib, sys
print("bench,median_secs,low_secs,high_secs,samples")
for file in sorted(pathlib.Path(sys.argv[1]).glob("**/new/benchmark.json")):
    name = json.load(open(file))["full_id"]
    median = json.load(open(file.with_name("estimates.json")))["median"]
    samples = len(json.load(open(file.with_name("sample.json")))["times"])
    interval = median["confidence_interval"]
    seconds = [median["point_estimate"], interval["lower_bound"], interval["upper_bound"]]
    print(name, *(f"{ns / 1e9:.6f}" for ns in seconds), samples, sep=",")
PYTHON
cat "$out/decode.csv"
