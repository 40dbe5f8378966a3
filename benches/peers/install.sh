#!/bin/bash
# Installs the peers into a virtual environment: benches/peers/install.sh FOLDER
# Needs Python 3.11 or newer with pip, and a C++ compiler: llama.cpp is compiled for this processor (minutes).
# Takes 4.5 GB of disk, nearly all of it PyTorch and the CUDA libraries it is linked to.
set -euo pipefail
folder="${1:?usage: install.sh FOLDER}"
here="$(cd "$(dirname "$0")" && pwd)"
"${PYTHON:-python3}" -m venv "$folder"
# pip keeps the compiled llama.cpp for the next time; of the rest, gigabytes, it is told to keep no second copy.
export CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF ${CMAKE_ARGS:-}"
nice -n 15 "$folder/bin/pip" install --no-deps "$(grep '^llama-cpp-python' "$here/requirements.txt")"
nice -n 10 "$folder/bin/pip" install --no-deps --no-cache-dir -r "$here/requirements.txt"
"$folder/bin/python" -c 'import ctranslate2, gguf, llama_cpp, torch, transformers; print("peers installed")'
