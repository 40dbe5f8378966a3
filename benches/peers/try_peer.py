"""Speaks kvlab's protocol with peers, by hand: python try_peer.py [--weights f32] [--quick] PEER.py...

For each peer: a greedy continuation of a fixed prompt by the story model (the same for all peers if they are right), then
medians for every lane at two shapes, two depths, two batch sizes; a prefill; and the CPU that the peer uses when idle.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
STORY = {"name": "story", "n_layer": 5, "n_head": 6, "n_embd": 192, "n_positions": 1024, "vocab_size": 1315,
         "folder": str(HERE.parents[1] / "assets" / "story-gpt2")}
SHAPE = {"name": "shape:gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "vocab_size": 50257,
         "folder": None}
PROMPT = [5, 300, 17, 42, 8, 900, 61, 7]
TOKENS = 16


class Peer:
    def __init__(self, path):
        self.process = subprocess.Popen([sys.executable, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hello = json.loads(self.process.stdout.readline())

    def ask(self, do, **request):
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the peer ended with {self.process.wait()}")
        return json.loads(line)

    def cpu_secs(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100


def measure(peer, lane, test, depth, tokens, batch):
    what = f"  {lane:20} {test} depth {depth:5} batch {batch}"
    prepared = peer.ask("prepare", lane=lane, test=test, depth=depth, tokens=tokens, batch=batch)
    if "error" in prepared:
        return print(f"{what}: {prepared['error']}")
    runs = [peer.ask("run") for _ in range(3)]
    if "error" in runs[-1]:
        return print(f"{what}: {runs[-1]['error']}")
    if any(len(run["secs"]) != (tokens if test == "tg" else 1) for run in runs):
        raise SystemExit(f"{what}: {[len(run['secs']) for run in runs]} numbers")
    medians = [1000 * statistics.median(run["secs"]) for run in runs]
    cache = prepared["cache_bytes"]
    print(f"{what}: {' '.join(f'{ms:8.2f}' for ms in medians)} ms, cache {'?' if cache is None else round(cache / 1e6, 1)} MB",
          flush=True)


def try_peer(path, weights, quick):
    peer = Peer(path)
    print(json.dumps(peer.hello, indent=1))
    print(peer.ask("nonsense"), peer.ask("load", model=STORY, weights="f32", threads=2))
    print("greedy, story:", peer.ask("greedy", ids=PROMPT, tokens=24))
    for model in [STORY, SHAPE]:
        print(model["name"], weights, peer.ask("load", model=model, weights=weights, threads=2))
        print("  greedy:", peer.ask("greedy", ids=PROMPT, tokens=8))
        for lane in peer.hello["lanes"]:
            for depth, batch in [(32, 1)] if quick else [(0, 1), (32, 1), (1000, 1), (32, 8), (1000, 8)]:
                if lane == "transformers-none" and depth * batch > 100 and model is SHAPE:
                    continue  # minutes
                measure(peer, lane, "tg", depth, TOKENS, batch)
            measure(peer, lane, "pp", 0, 512, 1)
    before = peer.cpu_secs()
    time.sleep(2)
    print(f"idle: {(peer.cpu_secs() - before) / 2:.1%} of a core; release: {peer.ask('release')}")
    peer.process.stdin.write('{"do":"quit"}\n')
    peer.process.stdin.close()
    print("exit status", peer.process.wait(timeout=20))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--weights", default="f32")
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("peers", nargs="+")
    arguments = arguments.parse_args()
    for path in arguments.peers:
        try_peer(path, arguments.weights, arguments.quick)
