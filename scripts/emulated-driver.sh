#!/usr/bin/env bash
# Builds a CUDA driver without a GPU, on which a kvlab that was built with `--features cuda` runs as it is.
#
#   scripts/emulated-driver.sh DIR PROGRAM     then LD_LIBRARY_PATH=DIR PROGRAM run --device cuda
#
# Its kernels are kvlab's own and candle's, the latter from where cargo keeps its sources, compiled for this processor (emulator/driver says what
# that shows and what not). Needs g++, and what cargo built for PROGRAM.
set -euo pipefail
if [ $# -ne 2 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
fi
cd "$(dirname "$0")/.."
mkdir -p "$1/candle"
out=$(cd "$1" && pwd) program=$2
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
candle=$(ls -d "$registry"/*/candle-kernels-0.11.1/src)
# Which kernels candle's modules have: from the build of the program.
ptx=$(ls -dt "${CARGO_TARGET_DIR:-target}"/release/build/candle-kernels-*/out/affine.ptx | head -n 1)
ptx=$(dirname "$ptx")
# The runtime needs no device as long as nobody calls it.
toolkit=${CUDA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")}
ln -sf "$toolkit"/lib64/libcudart.so.* "$out"
flags=(-std=c++17 -O2 -fPIC -ffp-contract=off -U_FORTIFY_SOURCE -Iemulator/include -Iemulator/driver -Isrc/kernels/cuda)

# Everything that is not emulated says so when it is called.
stubs() { # LIBRARY PREFIX
    nm --dynamic --undefined-only "$program" | awk '{print $2}' | sed 's/@.*//' | { grep -E "$2" || true; } | while read -r name; do
        echo "extern \"C\" __attribute__((weak)) int $name() { fprintf(stderr, \"emulated driver: $name is not emulated\\n\"); return 999; }"
    done | cat <(echo '#include <cstdio>') - >"$out/stubs_$1.cpp"
}
stubs driver '^cu[A-Z]'
stubs blas '^cublas[A-KM-Z]'
stubs blaslt '^cublasLt'
stubs rand '^curand'
stubs nvrtc '^nvrtc'

# candle's kernels. Headers of CUDA's names are ours.
for header in cuda.h cuda_fp16.h cuda_bf16.h cuda_fp8.h; do
    echo '#include "candle.h"' >"$out/candle/$header"
done
mkdir -p "$out/candle/cuda/std"
echo '#include <limits>
namespace cuda { namespace std = ::std; }' >"$out/candle/cuda/std/limits"
objects=()
for kernels in affine binary fill indexing reduce ternary unary; do
    source=$out/candle/$kernels
    # Shared memory that a launch asks for, and headers beside the source, which the copy is not.
    sed -E 's/extern __shared__ (__align__\([0-9]+\) )?([a-z0-9_ ]+) ([a-z_0-9]+)\[\];/\2* \3 = reinterpret_cast<\2*>(emulated::current->block->shared.get());/' \
        "$candle/$kernels.cu" >"$source.cu"
    compile() {
        g++ "${flags[@]}" -w -D__CUDA_ARCH__=529 -D__CUDACC_VER_MAJOR__=13 -D__CUDACC_VER_MINOR__=0 \
            -include emulator/driver/candle.h -I"$out/candle" -I"$candle" -c "$1" -o "$2"
    }
    cp "$source.cu" "$source.cpp"
    compile "$source.cpp" "$source.o"
    comm -12 <(nm --defined-only "$source.o" | awk '$2 == "T" {print $3}' | sort) \
        <(grep -oE '\.entry [A-Za-z0-9_]+' "$ptx/$kernels.ptx" | awk '{print $2}' | sort) >"$source.names"
    sed 's/.*/KERNEL(&)/' "$source.names" >>"$source.cpp"
    compile "$source.cpp" "$source.o"
    objects+=("$source.o")
done
library() { # NAME SOURCES
    local name=$1
    shift
    g++ "${flags[@]}" -w -shared "$@" -o "$out/$name" "-Wl,-soname,$name" -Wl,--default-symver
}
# Helpers that candle has in a header are in each of its objects.
library libcuda.so.1 emulator/driver/driver.cpp emulator/src/block.cpp emulator/src/kernels.cpp "${objects[@]}" "$out/stubs_driver.cpp" \
    -Wl,--allow-multiple-definition
library libcublas.so.13 -O3 emulator/driver/blas.cpp "$out/stubs_blas.cpp"
library libcublasLt.so.13 "$out/stubs_blaslt.cpp"
library libcurand.so.10 emulator/driver/rand.cpp "$out/stubs_rand.cpp"
library libnvrtc.so.13 "$out/stubs_nvrtc.cpp"
echo "$(cat "$out"/candle/*.names | wc -l) kernels of candle's, and kvlab's own: $out"
