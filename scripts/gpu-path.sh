#!/usr/bin/env bash
# The program for a GPU, whole, on a machine without one: its kernels and candle's run on the processor, behind a driver that is emulated.
#
#   scripts/gpu-path.sh PROGRAM      a kvlab that was built with `--features cuda`
#
# Checks that every lane computes what it does on the CPU, that all memory is given back, how often the driver is called for a decoded token (the
# budgets below), and what is said where there is no device.
set -euo pipefail
if [ $# -ne 1 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
fi
cd "$(dirname "$0")/.."
program=$(readlink -f "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/emulated-driver.sh "$work/driver" "$program"
export LD_LIBRARY_PATH=$work/driver
fail() {
    echo "gpu-path.sh: $*" >&2
    exit 1
}

# Called so often, by the trace of a run; a trace that was not written is no 0.
calls() {
    [ -s "$1" ] || fail "there is no trace $1"
    awk -v name="$2" '$1 == name {n = $2} END {print n + 0}' "$1"
}

echo "== conformance, and a benchmark of everything at its smallest"
KVLAB_DRIVER_TRACE=$work/doctor "$program" doctor --gpu --quick --out "$work/report" 2>&1 | grep -v '^|' || fail "doctor --gpu failed"
grep -q '| ok |' "$work/report/report.md" || fail "the report has no checks"
[ "$(calls "$work/doctor" bytes-not-freed)" = 0 ] || fail "$(calls "$work/doctor" bytes-not-freed) bytes were not given back"
[ "$(calls "$work/doctor" cuMemAlloc)" = "$(calls "$work/doctor" cuMemFree)" ] || fail "allocations and frees differ"
# No kernel may hide behind others: each of those of the cache was launched.
for kernel in append_{f32,f16,bf16,f8,int8,q8_0,q4_0,affine2,affine4,affine8} seal_channels{2,4,8} merge weights add_scores copy_rows_{16,2} rotate argmax \
    walk_{f32,f16,bf16,f8,int8,q8_0,q4_0,int4,kivi2,kivi4,kivi8}_{d64,d128,any} prefill_{f32,f16,bf16,f8,int8,q8_0,q4_0,int4,kivi2,kivi4,kivi8}; do
    grep -q "^kernel:$kernel " "$work/doctor" || fail "$kernel was never launched"
done

echo "== kvlab run --device cuda: the tokens of the CPU"
lanes=none,concat,contiguous,paged:1,paged:16,paged:64,paged:16+int8,paged:16+window:4/20,paged:16+h2o:16/16
"$program" run --device cuda --lanes "$lanes" --tokens 24 --out "$work/gpu" >"$work/gpu.txt"
"$program" run --device cpu --lanes "$lanes" --tokens 24 --out "$work/cpu" >/dev/null
python3 - "$work" <<'END'
import json, sys

def lanes(path):
    tokens = {}
    for entry in map(json.loads, open(path)):
        if entry["type"] == "record":
            tokens.setdefault(entry["lane"], []).append(entry["token_id"])
    return tokens

gpu, cpu = (lanes(f"{sys.argv[1]}/{device}/trace.jsonl") for device in ("gpu", "cpu"))
assert len(cpu) == 9 and all(len(tokens) == 24 for tokens in cpu.values()), cpu
assert gpu == cpu, "other tokens than on the CPU"
print(f"{len(cpu)} lanes, 24 tokens each: the same")
END
sed -n '/^GPU, asked/,/^$/p' "$work/gpu.txt"

echo "== a context that is split over multiprocessors"
ids=$(seq -s, 3 302)
for lane in paged:16 paged:16+int8 paged:32+kivi:2; do
    KVLAB_DRIVER_TRACE=$work/long "$program" generate --device cuda --ids "$ids" --lane "$lane" --tokens 6 >"$work/long.gpu" 2>/dev/null
    "$program" generate --device cpu --ids "$ids" --lane "$lane" --tokens 6 >"$work/long.cpu" 2>/dev/null
    cmp "$work/long.gpu" "$work/long.cpu" || fail "$lane: other tokens behind 300"
    [ "$(calls "$work/long" kernel:merge)" -gt 0 ] || fail "$lane: nothing was split"
    echo "$lane: $(calls "$work/long" kernel:merge) merges, the tokens of the CPU"
done

echo "== calls of the driver for a decoded token, the model's included"
# A run of 40 tokens less one of 24, over 16. The story model has 5 layers; budgets are what was counted.
while read -r lane launches allocations to_gpu to_host; do
    for tokens in 24 40; do
        rm -f "$work/trace$tokens"
        KVLAB_DRIVER_TRACE=$work/trace$tokens "$program" generate --device cuda --lane "$lane" --tokens $tokens >/dev/null 2>&1
    done
    each() { echo $((($(calls "$work/trace40" "$1") - $(calls "$work/trace24" "$1") + 15) / 16)); }
    counted="$(each cuLaunchKernel) $(each cuMemAlloc) $(each cuMemcpyHtoD) $(each cuMemcpyDtoH)"
    echo "$lane: $counted (launches, allocations, copies to the GPU, copies back); budget $launches $allocations $to_gpu $to_host"
    read -r a b c d <<<"$counted"
    [ "$a" -gt 0 ] || fail "$lane: no launches were counted"
    if [ "$a" -gt "$launches" ] || [ "$b" -gt "$allocations" ] || [ "$c" -gt "$to_gpu" ] || [ "$d" -gt "$to_host" ]; then
        fail "$lane: more than its budget"
    fi
done <scripts/gpu-path-budget.txt

echo "== without a device"
said=$(KVLAB_DRIVER_DEVICES=0 "$program" generate --device cuda --tokens 2 2>&1 && fail "ran without a device" || true)
grep -q 'CUDA device 0 cannot be used: the driver finds no GPU' <<<"$said" || fail "said: $said"
said=$("$program" generate --device cuda:7 --tokens 2 2>&1 && fail "ran on a device that is not there" || true)
grep -q 'CUDA device 7 cannot be used' <<<"$said" || fail "said: $said"
said=$(KVLAB_DRIVER_OLD=1 "$program" generate --device auto --tokens 2 2>&1)
grep -q 'CUDA is not used: CUDA device 0 cannot be used: its driver is older' <<<"$said" || fail "said: $said"
said=$(KVLAB_DRIVER_DEVICES=0 "$program" generate --device auto --tokens 2 2>&1)
grep -q 'CUDA is not used: CUDA device 0 cannot be used' <<<"$said" || fail "said: $said"
KVLAB_DRIVER_DEVICES=0 "$program" doctor | grep -q 'cuda: not used; CUDA device 0 cannot be used: the driver finds no GPU' || fail "doctor"
"$program" doctor | grep 'cuda:0: emulated GPU' || fail "doctor does not list the device"
"$program" doctor --gpu-pool release | grep -q 'gives freed memory back' || fail "the pool's setting is not shown"
echo "== it cannot start without any driver"
if ldconfig -p | grep -q 'libcuda\.so\.1'; then
    echo "there is a driver on this machine; not looked at"
else
    said=$(LD_LIBRARY_PATH='' "$program" --version 2>&1 && fail "it started" || true)
    grep -q 'libcuda.so.1: cannot open shared object file\|libcu.*: cannot open shared object file' <<<"$said" || fail "said: $said"
    echo "$said"
fi
