#!/bin/bash
# Builds the story model from nothing: tokenizer, training, export, evaluation, card.
# Run it again after an interruption and it goes on from the last checkpoint.
#   PYTHON=path/to/python recipe/run.sh      (with the packages of requirements.txt)
# For a fresh build, delete recipe/work first.
set -euo pipefail
cd "$(dirname "$0")"
python="${PYTHON:-python3}"
export PYTHONDONTWRITEBYTECODE=1
export OMP_WAIT_POLICY=passive # threads that wait do not spin: kinder to other work on the machine
mkdir -p work
[ -f work/tokenizer.json ] || "$python" data.py work/tokenizer.json
[ -f work/final.pt ] || "$python" train.py work/tokenizer.json work
"$python" export.py work/final.pt work/tokenizer.json ..
cp work/training.jsonl ../training.jsonl
"$python" evaluate.py work/final.pt .. ../training.jsonl
"$python" calibration.py ../calibration.txt
"$python" card.py ..
