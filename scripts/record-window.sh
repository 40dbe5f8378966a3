#!/usr/bin/env bash
# record-window.sh KVLAB [pictures]: the pictures and figures of docs/runs/window.md, on this machine. Keep it otherwise idle.
# Needs what the window's smoke test needs (a virtual X display), Python with Pillow for the GIF, and cargo for one picture.
set -euo pipefail
kvlab=$(realpath "$1")
cd "$(dirname "$0")/.."
mkdir -p docs/runs/window
out=$(realpath docs/runs/window)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "== pictures of a run that is read from its trace"
lanes=none,contiguous,paged:16,paged:16+int8
"$kvlab" run --tokens 300 --lanes $lanes --attention paged:16 --fork paged:16@60 --fork paged:16@120 --out "$scratch/run" >"$scratch/table"
head -n 6 "$scratch/table"
head -n 1 "$scratch/run/trace.jsonl" >"$out/header.json"
# By its name alone, which the picture shows.
cd "$scratch/run"
for pane in cost attention blocks; do
    "$kvlab" app --trace trace.jsonl --pane $pane --look dark --screenshot "$out/$pane.png"
done
"$kvlab" app --trace trace.jsonl --pane cost --look light --screenshot "$out/cost-light.png"
"$kvlab" app --trace trace.jsonl --pane cost --look projector --screenshot "$out/cost-projector.png"
"$kvlab" app --trace trace.jsonl --pane blocks --moment 90 --beside attention --screenshot "$out/beside.png"

echo "== pictures of live runs"
forced=contiguous,paged:16+int8,paged:16+q4_0,paged:16+window:4/60
"$kvlab" run --lanes $forced --tokens 300 --forced --out "$scratch/forced" >/dev/null
(cd "$scratch/forced" && "$kvlab" app --trace trace.jsonl --pane quality --look dark --screenshot "$out/quality-live.png")
"$kvlab" app --lanes $forced --pane quality --screenshot "$out/quality-stories.png"
"$kvlab" app --lanes contiguous,paged:16+q4_0 --tokens 120 --pane numbers --screenshot "$out/numbers.png"
"$kvlab" app --lanes paged:16+window:4/60,contiguous --tokens 200 --pane attention --screenshot "$out/attention-window.png"
"$kvlab" app --tokens 5 --pane plan --screenshot "$out/plan.png"
"$kvlab" app --lanes none,contiguous --learn --screenshot "$out/tours.png"
cd - >/dev/null
"$kvlab" app --tokens 5 --pane labs --screenshot "$out/labs.png"
KVLAB_TEST_PICTURES=$scratch cargo test --quiet --workspace --test laboratory >/dev/null
for picture in layers switched forced tour; do cp "$scratch/$picture.png" "$out/"; done

echo "== a GIF of the run"
for moment in $(seq 0 12 300); do
    (cd "$scratch/run" && "$kvlab" app --trace trace.jsonl --pane cost --moment "$moment" --look dark --screenshot "$scratch/frame-$(printf %03d "$moment").png")
done
${PYTHON:-python3} - "$scratch" "$out/run.gif" <<'PYTHON'
import glob, sys
from PIL import Image
frames = [Image.open(f).convert("RGB").resize((768, 480), Image.LANCZOS) for f in sorted(glob.glob(sys.argv[1] + "/frame-*.png"))]
frames = [frame.quantize(colors=48, dither=Image.Dither.NONE) for frame in frames]
frames[0].save(sys.argv[2], save_all=True, append_images=frames[1:] + [frames[-1]] * 12, duration=120, loop=0, optimize=True)
PYTHON

if [ "${2:-}" = pictures ]; then exit; fi

echo "== the window measures itself"
xvfb-run --auto-servernum --server-args='-screen 0 1280x800x24' "$kvlab" app --bench-frames --out "$out/frames.json" | tee "$out/frames.txt"
