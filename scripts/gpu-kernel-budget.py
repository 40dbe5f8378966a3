#!/usr/bin/env python3
"""What the GPU's kernels take of a multiprocessor, as ptxas says it, held against what they took before.

  scripts/gpu-kernel-budget.py            compiles src/kernels/cuda for sm_80 and sm_90 and compares with budget.tsv there; needs nvcc
  scripts/gpu-kernel-budget.py --write    writes that file anew

No kernel may spill registers to memory, use the stack, or take more registers or static shared memory than the file says.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "src/kernels/cuda"
BUDGET = FOLDER / "budget.tsv"
ARCHITECTURES = ["sm_80", "sm_90"]
HEADER = "kernel\tarchitecture\tregisters\tshared_bytes"


def compiled(source, architecture):
    """(kernel, registers, static shared memory, bytes of stack and spills) of each kernel of a file."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["nvcc", "-std=c++17", "-O3", f"-arch={architecture}", "-cubin", "-Xptxas", "-v", "-o", f"{folder}/cubin", source]
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{run.stdout}{run.stderr}")
    found, name, memory = [], None, 0
    for line in (run.stdout + run.stderr).splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            name = match[1]
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            memory = sum(map(int, match.groups()))
        elif (match := re.search(r"Used (\d+) registers", line)) and name:
            shared = re.search(r"(\d+) bytes smem", line)
            found.append((name, int(match[1]), int(shared[1]) if shared else 0, memory))
            name = None
    if not found:
        sys.exit(f"ptxas said nothing of {source}")
    return found


def main():
    if sys.argv[1:] not in ([], ["--write"]):
        sys.exit(__doc__)
    taken, wrong = {}, []
    for source in sorted(FOLDER.glob("*.cu")):
        for architecture in ARCHITECTURES:
            for name, registers, shared, memory in compiled(source, architecture):
                taken[name, architecture] = (registers, shared)
                if memory > 0:
                    wrong.append(f"{name} ({architecture}) uses {memory} bytes of local memory")
    if sys.argv[1:] == ["--write"]:
        rows = [f"{name}\t{architecture}\t{registers}\t{shared}" for (name, architecture), (registers, shared) in sorted(taken.items())]
        BUDGET.write_text("\n".join([HEADER, *rows]) + "\n")
    else:
        lines = [line.split("\t") for line in BUDGET.read_text().splitlines()[1:]]
        budget = {(name, architecture): (int(registers), int(shared)) for name, architecture, registers, shared in lines}
        for key in sorted(taken.keys() | budget.keys()):
            before, now = budget.get(key), taken.get(key)
            if before is None or now is None:
                wrong.append(f"{key[0]} ({key[1]}) is {'new' if before is None else 'gone'}: --write")
            elif now[0] > before[0] or now[1] > before[1]:
                wrong.append(f"{key[0]} ({key[1]}) takes {now[0]} registers and {now[1]} bytes, allowed are {before[0]} and {before[1]}")
    print(f"{len(taken)} kernels and architectures, at most {max(registers for registers, _ in taken.values())} registers")
    if wrong:
        sys.exit("\n".join(wrong))


main()
