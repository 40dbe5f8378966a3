#!/usr/bin/env bash
# Installs a CUDA toolkit from Python packages into a folder, without root: for building with `--features cuda` where NVIDIA's installer was not.
#
#   scripts/cuda-toolkit.sh DIR        about 1.5 GB; needs python3 and cc; again does nothing
#   source DIR/env.sh                  then cargo build --release --features cuda
#
# It has no driver: what is built with it starts only where one is installed. With a CUDA installation of your own you need none of this:
# `nvcc` on the PATH is enough.
set -euo pipefail
if [ $# -ne 1 ] || [ "${1#-}" != "$1" ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
toolkit=$(cd "$1" && pwd)
if [ ! -x "$toolkit/venv/bin/pip" ]; then
    python3 -m venv "$toolkit/venv"
fi
"$toolkit/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$here/cuda-toolkit.txt"

packages=$(echo "$toolkit"/venv/lib/python3*/site-packages/nvidia/cu13)
mkdir -p "$toolkit/lib64/stubs"
for folder in bin include nvvm; do
    ln -sfn "$packages/$folder" "$toolkit/$folder"
done
ln -sfn lib64 "$toolkit/lib"
# The linker looks for names without versions.
for library in "$packages"/lib/*.so*; do
    name=$(basename "$library")
    ln -sfn "$library" "$toolkit/lib64/$name"
    ln -sfn "$library" "$toolkit/lib64/${name%%.so*}.so"
done
for library in "$packages"/lib/*.a; do
    ln -sfn "$library" "$toolkit/lib64/$(basename "$library")"
done
# A driver to link with: it has the names of a driver's functions and does nothing. What is linked takes the real one of the machine it runs on.
grep -ohE '\bcu[A-Z][A-Za-z0-9_]*' "$packages/include/cuda.h" | sort -u | sed 's/.*/void &(void) {}/' |
    cc -w -shared -x c - -o "$toolkit/lib64/stubs/libcuda.so" -Wl,-soname,libcuda.so.1
cat >"$toolkit/env.sh" <<END
export CUDA_HOME='$toolkit' CUDA_PATH='$toolkit' NVCC='$toolkit/bin/nvcc'
export PATH='$toolkit/bin':"\$PATH"
# The architecture of the GPU that will run it, where this machine has none to ask: 80 is an A100, 90 an H100, 89 an RTX 4090.
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-80}"
END
"$toolkit/bin/nvcc" --version | tail -n 2
echo "next: source $1/env.sh"
