#!/usr/bin/env bash
# Measures everything that benches/runs/ keeps of a machine. An interrupted recording goes on where it was.
#
#   scripts/record-bench.sh KVLAB FOLDER [PART...]
#
# KVLAB   a release build of a clean checkout
# FOLDER  benches/runs/DATE-MACHINE
# PART    story gpt2 weights threads long long-peers again figures (all of them if none is named);
#         kernels kernels-prompt kernels-q8 kernels-batch kernels-long: what the kernels are held against, with peers
#
# Peers run where `python` has their packages: benches/peers/install.sh VENV, then PATH=VENV/bin:$PATH. Leave the machine alone
# meanwhile; every file says how busy others kept it. Afterwards scripts/bench-report.py writes the pages.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
fi
kvlab=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
shift 2
cd "$(dirname "$0")/.."
parts=("$@")
if [ ${#parts[@]} -eq 0 ]; then
    parts=(story gpt2 weights threads long long-peers again figures)
fi

peer() { printf '%s' "python benches/peers/$1_peer.py"; }
peers=(--peer "$(peer transformers)" --peer "$(peer ctranslate2)" --peer "$(peer llama_cpp)")
every=none,concat,contiguous,paged:16,paged:16+int8,candle:concat,candle:kv
cached=concat,contiguous,paged:16,paged:16+int8,paged:16+q4_0,candle:concat,candle:kv

# A command line names no folder of this machine: what is written goes to a link with a short name.
bench() {
    local part=$1
    shift
    echo "== $part"
    mkdir -p "$folder/$part"
    ln -sfn "$folder/$part" "$part.recording"
    "$kvlab" bench "$@" --out "$part.recording" >/dev/null || { rm -f "$part.recording"; return 1; }
    rm -f "$part.recording"
}

for part in "${parts[@]}"; do
    case $part in
    story) bench story --model story --lanes "$every" --prompts 512 --depths 0,128,512,900 --batches 1,8 "${peers[@]}" ;;
    gpt2)
        bench gpt2 --model shape:gpt2 --lanes "$every" --prompts 128,512 --depths 128,900 --batches 1,8 "${peers[@]}" \
            --peer-lanes transformers,transformers-static,ctranslate2,llama.cpp,llama.cpp-f32,llama.cpp-q8_0
        ;;
    weights)
        bench weights --model shape:gpt2 --lanes contiguous,paged:16+int8 --weights f32,f16,bf16,q8_0 --prompts 128 --depths 128 \
            --batches 1,8 --peer "$(peer transformers)" --peer "$(peer llama_cpp)" --peer-lanes transformers,llama.cpp
        ;;
    threads) bench threads --model shape:gpt2 --lanes contiguous,paged:16+int8,candle:kv --threads 1,2 --prompts 128 --depths 128,900 ;;
    long)
        bench long --model shape:gpt2,ctx=32768 --lanes "$cached" --prompts '' --tokens 8 --depths 1024,4096,16384,32000
        ;;
    long-peers)
        bench long-peers --model shape:gpt2,ctx=32768 --lanes contiguous,paged:16+int8 --prompts '' --tokens 8 \
            --depths 1024,4096,16384 --peer "$(peer transformers)" --peer "$(peer llama_cpp)" \
            --peer-lanes transformers,llama.cpp,llama.cpp-f32,llama.cpp-q8_0
        ;;
    again)
        # The same twice, and once with a lane slowed down on purpose: what `kvlab compare` says of both is kept beside them.
        same=(--model shape:gpt2 --lanes contiguous,paged:16,paged:16+int8 --prompts '' --depths 128,900 --repeats 7)
        bench again-1 "${same[@]}"
        bench again-2 "${same[@]}"
        bench again-slower "${same[@]}" --handicap 10@paged:16
        for after in again-2 again-slower; do
            { "$kvlab" compare "$folder/again-1" "$folder/$after" && echo "exit code 0" || echo "exit code $?"; } >"$folder/compare-$after.txt"
        done
        ;;
    kernels-prompt) # also what a token costs without a cache: as much as its prompt
        bench kernels-prompt --model shape:gpt2 --lanes none,contiguous,paged:16,paged:16+int8 --weights f32,bf16,int8 --prompts 1000 --tokens 0 \
            --depths '' --repeats 3 --peer "$(peer transformers)" --peer "$(peer llama_cpp)" \
            --peer-lanes transformers,transformers-none,llama.cpp
        ;;
    kernels)
        bench kernels --model shape:gpt2 --lanes contiguous,paged:16,paged:16+int8 --weights f32,bf16,int8 --prompts '' --depths 32,1000 \
            --peer "$(peer transformers)" --peer "$(peer llama_cpp)" --peer-lanes transformers,llama.cpp
        ;;
    kernels-q8) # llama.cpp's q8_0, beside our int8
        bench kernels-q8 --model shape:gpt2 --lanes contiguous,paged:16,paged:16+int8 --weights int8,q8_0 --prompts '' --depths 32,1000 \
            --peer "$(peer llama_cpp)" --peer-lanes llama.cpp,llama.cpp-q8_0
        ;;
    kernels-batch)
        bench kernels-batch --model shape:gpt2 --lanes contiguous,paged:16,paged:16+int8 --weights f32,int8 --prompts '' --depths 512 \
            --batches 8 --peer "$(peer llama_cpp)" --peer-lanes llama.cpp,llama.cpp-f32
        ;;
    kernels-long)
        bench kernels-long --model shape:gpt2,ctx=32768 --prompts '' --tokens 8 --depths 1024,8192,32000 \
            --lanes contiguous,paged:16,paged:16+f16,paged:16+int8,paged:16+q8_0,paged:16+q4_0,paged:32+kivi:4/32
        ;;
    figures) "$kvlab" plot "$folder"/{story,gpt2,long} docs/runs/caches/quality --out "$folder/figures" ;;
    *) echo "unknown part $part" && exit 2 ;;
    esac
done
