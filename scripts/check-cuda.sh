#!/usr/bin/env bash
# check-cuda.sh: type-checks kvlab with `--features cuda`, with the installed toolkit or, where there is none, with a stand-in for nvcc.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v nvcc >/dev/null; then
    toolkit=$(mktemp -d)
    trap 'rm -rf "$toolkit"' EXIT
    mkdir -p "$toolkit/bin" "$toolkit/include"
    cp scripts/nvcc-stand-in "$toolkit/bin/nvcc"
    export CUDA_HOME=$toolkit CUDA_PATH=$toolkit NVCC=$toolkit/bin/nvcc PATH=$toolkit/bin:$PATH
    echo "no nvcc here: a stand-in takes its place, so this checks types, not kernels"
fi
# Which architecture a check assumes does not matter.
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
cargo check --features cuda --lib --bins --target-dir target/cuda-check
