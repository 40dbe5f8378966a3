#!/usr/bin/env bash
# Shows that the tests of the GPU's kernels can fail: plants one bug after another into a copy of the kernels and expects the tests to find it.
#
#   scripts/planted-bugs.sh
set -euo pipefail
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

missed=0
# Without a bug nothing is found, or what follows would prove nothing.
cp src/kernels/cuda/*.cu src/kernels/cuda/*.cuh "$copy"
KVLAB_EMULATED_KERNELS=$copy cargo test --quiet --package kvlab-emulator --tests >"$copy/log" 2>&1 || { cat "$copy/log"; exit 1; }

# plant WHAT TEST FILE OLD NEW: the first place where FILE has the text OLD gets NEW; the tests in emulator/tests/TEST.rs have to fail.
plant() {
    local what=$1 test=$2 file=$3
    cp src/kernels/cuda/*.cu src/kernels/cuda/*.cuh "$copy"
    python3 - "$copy/$file" "$4" "$5" <<'END'
import sys
path, old, new = sys.argv[1:]
text = open(path).read()
if old not in text:
    sys.exit(f"{path} has no `{old}` any more: the bug is to be planted elsewhere")
open(path, "w").write(text.replace(old, new, 1))
END
    if KVLAB_EMULATED_KERNELS=$copy cargo test --quiet --package kvlab-emulator --test "$test" >"$copy/log" 2>&1; then
        echo "missed: $what"
        missed=1
    elif ! grep -qE '^test result: FAILED|emulated kernel: ' "$copy/log"; then
        cat "$copy/log"
        echo "no test of it ran: $what"
        missed=1
    else
        echo "found: $what ($(grep -oE -m 1 'emulated kernel: .*|[0-9]+ passed; [0-9]+ failed' "$copy/log" | tail -n 1))"
    fi
}

plant 'warps do not wait for each other' walk walk.cuh '__syncthreads();' ''
plant 'a tile is overwritten while it is read' walk prefill.cu '        // Nobody still reads the values of the tile before.
        __syncthreads();' ''
plant 'a token more than there are' walk walk.cuh 'token < end' 'token <= end'
plant 'the scale of another head' walk formats.cuh '[at.head()]' '[at.row]'
plant 'the scale of another group' walk formats.cuh 'half_at(plane.scales, at.group(channel));' 'half_at(plane.scales, at.group(0));'
plant 'splits are added as if their largest scores were one' walk walk.cu 'sums[split * head_dim + c] * share(of[2 * split], largest)' 'sums[split * head_dim + c]'
plant 'exact rows are read from the pool' walk walk.cuh 'RING && (row & EXACT)' 'false && (row & EXACT)'
plant 'a query sees the token after its own' walk prefill.cu 'first + lane < static_cast<int>(' 'first + lane <= static_cast<int>('
plant 'codes are rounded down' codecs append.cu 'roundf(' 'truncf('
plant 'ties go to the even code' codecs append.cu 'roundf(__fdiv_rn(row.x[i], scale))' 'rintf(__fdiv_rn(row.x[i], scale))'
plant 'ties go away from zero' codecs append.cu 'rintf(steps)' 'roundf(steps)'
plant 'of two that are farthest from zero the last counts' codecs append.cu 'const float place = min_over(fabsf(x) == most ? static_cast<float>(row.lane) : 99.0f, WARP)' 'const float place = max_over(fabsf(x) == most ? static_cast<float>(row.lane) : -1.0f, WARP)'
plant 'a scale is that of the first group' codecs append.cu '[row.group(first)] = to_half(d)' '[row.group(0)] = to_half(d)'
plant 'nibbles change places' codecs append.cu '<< (place * B)' '<< (8 - B - place * B)'
plant 'a row turns before all of it is there' rows rows.cu '    __syncthreads();
    for (int half' '    for (int half'
plant 'of equals the last is picked' rows rows.cu 'other > largest' 'other >= largest'
plant 'what is no number is passed over' rows rows.cu 'isnan(row[i]) ? NO_NUMBER : i' 'i'
plant 'not the first token that is no number is named' codecs append.cu '0xffffffffu - token' 'token + 1u'
exit $missed
