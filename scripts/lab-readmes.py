#!/usr/bin/env python3
"""lab-readmes.py KVLAB: runs the commands of the labs' READMEs, from the root of the repository, and says which do not do what is written there.

The exercises must be as they are shipped: `check` has to print the first red run that the README shows, and whatever runs a learner's
code has to say that it is not written yet, and to work with `--solution`. Sizes are made smaller, files go to a temporary folder, and
a window becomes a picture. Left out are commands that wait for somebody (`watch`) and those that need a GPU.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import time

# Commands that run what a learner wrote.
OF_THE_LEARNER = {"show", "generate", "bench"}
# What they say of an exercise that is as it was shipped.
NOT_YET = ("not written yet", "nothing to show yet")
LIMIT_SECS = 300


def commands(readme):
    """Commands in shell blocks and between backticks, each once."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", readme, re.S | re.M):
        found += block.splitlines()
    found += [text.replace("\n", " ") for text in re.findall(r"`((?:cargo run|kvlab) [^`]*)`", readme)]
    found = [re.sub(r"\s+#.*", "", line).strip() for line in found]
    # What ends like that is the beginning of a command.
    return list(dict.fromkeys(line for line in found if line and not line.endswith(" --")))


def is_left_out(command):
    # What comes of a run on a GPU is not there either.
    return " watch " in f"{command} " or "cuda" in command or "gpu-" in command


def runnable(command, kvlab, scratch):
    """The command as it is run here."""
    lab = re.fullmatch(r"kvlab lab open (\d+)", command)
    if lab:
        command = f"cargo run --release -p lab{int(lab[1]):02} -- open"
    if command.endswith("-- open"):
        command += f" --solution --screenshot {scratch}/open.png"
    if command.startswith("kvlab app ") and "--screenshot" not in command:
        command += f" --screenshot {scratch}/app.png"
    command = command.replace("TASK", "1").replace("--stories 6", "--stories 1")
    command = re.sub(r"--out (\S+)", rf"--out {scratch}/\1", command)
    if re.search(r"(kvlab|--) run ", command) and "--tokens" not in command:
        command += " --tokens 48"
    words = command.split()
    return [kvlab] + words[1:] if words[0] == "kvlab" else ["cargo", "run", "--quiet"] + words[2:]


def run(words):
    started = time.monotonic()
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_SECS)
    except subprocess.TimeoutExpired:
        return None, f"it did not end in {LIMIT_SECS} s", LIMIT_SECS
    return done.returncode, done.stdout + done.stderr, time.monotonic() - started


def first_red_run(readme):
    """What the README shows of `check` on an untouched exercise."""
    block = re.search(r"^```text\n(task 1 .*?)^```", readme, re.S | re.M)
    return [line for line in block[1].splitlines() if line] if block else []


def faults(command, words, readme):
    """What is wrong with a command, in a sentence each."""
    code, said, secs = run(words)
    found = []
    verb = words[words.index("--") + 1] if "--" in words else None
    if "--wrong" in words:
        expected = 1
    elif verb == "check":
        expected = 1
        found += [f"the README shows `{line}`, which is not there" for line in first_red_run(readme) if line not in said]
    elif verb in OF_THE_LEARNER:
        # Whether what is not written yet is a failure is the lab's own business.
        expected = code
        if not any(words in said for words in NOT_YET):
            found.append("it does not say that the exercise is not written yet")
        again, said_again, more = run(words + ["--solution"])
        secs += more
        if again != 0:
            found.append(f"with --solution it ends with {again}: {said_again[-600:]}")
    else:
        expected = 0
    if code != expected:
        found.append(f"it ends with {code} and not with {expected}: {said[-600:]}")
    print(f"{secs:6.1f} s  {command}{'' if not found else '   WRONG'}", flush=True)
    return found


def main():
    kvlab = str(pathlib.Path(sys.argv[1]).resolve())
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(pathlib.Path("labs").glob("[0-9]*/README.md")):
            readme = path.read_text()
            print(path, flush=True)
            for command in commands(readme):
                if is_left_out(command):
                    print(f"  left out  {command}")
                    continue
                for fault in faults(command, runnable(command, kvlab, scratch), readme):
                    wrong += 1
                    print(f"          {fault}")
    if wrong:
        sys.exit(f"{wrong} faults")


if __name__ == "__main__":
    main()
