#!/usr/bin/env bash
# Runs the tests of the GPU's kernels, emulated, under AddressSanitizer and UndefinedBehaviorSanitizer, then with real threads under ThreadSanitizer,
# which then has to find a barrier that was taken out. Needs g++ and its sanitizers' libraries.
#
#   scripts/sanitize-cuda.sh
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Rust's own library is not compiled for ThreadSanitizer, which does not see how its threads wait for each other. Kernels are not called from it: they
# run on threads of the emulator.
printf 'race:^_R\nrace:library/\n' >"$folder/suppressions"
export CXX=g++ ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:suppressions=$folder/suppressions

# check FLAGS LIBRARIES TEST [FILTER]...: the kernels are C++, so the compiler's own sanitizers see them. Their libraries are to be loaded before all
# others.
check() {
    local flags=$1 libraries=$2 test=$3 preload='' library binary
    shift 3
    for library in $libraries; do
        preload+=" $(g++ -print-file-name="lib$library.so")"
    done
    echo "-- $flags: $test $*"
    binary=$(KVLAB_EMULATOR_FLAGS="-g -fno-omit-frame-pointer $flags" KVLAB_EMULATOR_LIBRARIES=$libraries \
        cargo test --quiet --package kvlab-emulator --no-run --message-format json --test "$test" 2>"$folder/build" |
        python3 -c 'import json, sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])') || {
        cat "$folder/build"
        return 1
    }
    LD_PRELOAD=$preload "$binary" --quiet "$@" | tee "$folder/result" || return 1
    # A filter that names no test any more passes, too.
    if grep -q '^test result: ok. 0 passed' "$folder/result"; then
        echo "no test ran"
        return 1
    fi
}

memory='-fsanitize=address,undefined -fno-sanitize-recover=all'
for test in codecs rows walk; do
    check "$memory" 'asan ubsan' "$test"
done
threads='-fsanitize=thread -DKVLAB_EMULATED_THREADS'
check "$threads" tsan codecs ring groups_of_tokens
check "$threads" tsan rows runs_of_rows
check "$threads" tsan walk a_short_sequence scores_are_summed

cp src/kernels/cuda/*.cu src/kernels/cuda/*.cuh "$folder"
sed -i '0,/__syncthreads();/s///' "$folder/walk.cuh"
export KVLAB_EMULATED_KERNELS=$folder
if check "$threads" tsan walk a_short_sequence >"$folder/log" 2>&1 || ! grep -q 'ThreadSanitizer: data race' "$folder/log"; then
    cat "$folder/log"
    echo 'ThreadSanitizer did not see that a barrier is missing'
    exit 1
fi
echo "found: a missing barrier ($(grep -m 1 'SUMMARY: ThreadSanitizer' "$folder/log" | sed 's/.* in /in /'))"
