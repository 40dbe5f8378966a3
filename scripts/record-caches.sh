#!/usr/bin/env bash
# record-caches.sh KVLAB [quality | costs | plan]: the figures of docs/runs/caches.md and docs/claims.md, on this machine.
# The costs are wall-clock time: keep the machine otherwise idle. The quality depends on no clock; it takes a quarter of an hour.
set -euo pipefail
kvlab=$(realpath "$1")
part=${2:-all}
cd "$(dirname "$0")/.."
out=docs/runs/caches
mkdir -p "$out"

wants() { [ "$part" = all ] || [ "$part" = "$1" ]; }

if wants quality; then
    formats=contiguous,paged:16,contiguous+rot,paged:16+f16,paged:16+bf16,paged:16+f8,paged:16+int8,paged:16+q8_0
    small=paged:16+q4_0,paged:16+q4_0+rot,paged:16+int4,paged:16+int4+rot,paged:32+kivi:4,paged:32+kivi:2,paged:32+kivi:2+rot
    levels=paged:16+kvq:4,paged:16+kvq:3,paged:16+kvq:2
    policies=paged:16+window:4/508,paged:16+window:4/252,paged:16+h2o:128/128,paged:16+h2o-mean:128/128
    both=paged:16+int8+h2o:128/128,paged:32+kivi:2+window:4/252
    "$kvlab" quality --model story --lanes "$formats,$small,$levels,$policies,$both" --out "$out/quality" | tee "$out/quality.txt"
    mv "$out/quality.txt" "$out/quality/table.txt"
    rm "$out/quality"/*.png
fi

if wants costs; then
    record() {
        local name=$1
        shift
        "$kvlab" run "$@" --out "$out/$name" | tee "$out/$name.txt"
        mv "$out/$name.txt" "$out/$name/table.txt"
        head -n 1 "$out/$name/trace.jsonl" >"$out/$name/header.json"
        rm "$out/$name/trace.jsonl" "$out/$name"/*.png
    }
    record gpt2 --model shape:gpt2 --tokens 96 \
        --lanes none,contiguous,paged:16,contiguous+f16,contiguous+int8,contiguous+q4_0,contiguous+kivi:4
    record gpt2-long --model shape:gpt2,ctx=8192 --ids "$(seq -s, 1 2048)" --tokens 48 \
        --lanes contiguous,contiguous+f16,contiguous+f8,contiguous+int8,contiguous+q8_0,contiguous+q4_0,contiguous+kivi:4,contiguous+kivi:2,paged:16+window:4/508
fi

if wants plan; then
    plan() { "$kvlab" plan "$@"; }
    plan --model 7b --lane contiguous+f16,paged:16+f16,paged:16+int8,paged:32+kivi:4,paged:32+kivi:2 --memory 40GiB --context 2048 \
        --lengths uniform:1-2048 --shared-prefix 0 --users 100 | tee "$out/plan-7b.txt"
    plan --model 70b --lane contiguous+f16,paged:16+f16,paged:16+int8 --memory 40GiB --users 100 | tee "$out/plan-70b.txt"
    plan --model gpt2-xl --lane paged:16+int8 --memory 10GiB --context 1024 --users 100 | tee "$out/plan-gpt2-xl.txt"
fi
