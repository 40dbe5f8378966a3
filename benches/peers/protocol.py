"""How kvlab and a peer talk: one JSON line of request on stdin, one JSON line of answer on stdout.

A peer is a class with the methods `hello`, `load`, `prepare`, `run`, `release` and `greedy`; `serve` does the rest.
Import this module before the libraries: importing it takes standard output away from them, so that whatever they print
(C libraries too) goes to standard error and never between two answers.
"""

import json
import os
import signal
import sys
import time
import traceback

_answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


class Refused(Exception):
    """A request that this peer cannot carry out. Its text is the one sentence that kvlab prints."""


def serve(peer):
    """Answers requests until `quit` or the end of standard input."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that cleans up
    _say(peer.hello())
    done = set()
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            do = request.pop("do")
            if do == "quit":
                break
            _say(_carry_out(peer, do, request, done))
        except Exception as error:  # the peer lives on, whatever one request did
            traceback.print_exc()
            text = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
            _say({"error": " ".join(text.split())})


def _carry_out(peer, do, request, done):
    """`done` has what the peer can build on; libraries in C would crash where this refuses."""
    needed = {"load": None, "prepare": "load", "run": "prepare", "greedy": "load", "release": None}
    if do not in needed:
        raise Refused(f"unknown request {do!r}")
    if needed[do] and needed[do] not in done:
        raise Refused(f"{do} needs a {needed[do]} that succeeded before it")
    if do == "load":
        done.clear()
        answer = peer.load(request["model"], request["weights"], request["threads"])
        done.add("load")
        return {"ok": True, **answer}
    if do == "run":
        # The first is thrown away: threads and memory have slept while others had their turns, and on two cores the threads that
        # wake may share one for 10 ms. kvlab's own arms are woken by the pass over the bytes of their floor.
        peer.run()
        secs = peer.run()
        wait_until_idle()
        return {"secs": secs}
    done.discard("prepare")
    if do == "prepare":
        cache_bytes = peer.prepare(**request)
        done.add("prepare")
        return {"ok": True, "cache_bytes": cache_bytes}
    if do == "greedy":
        return {"ids": peer.greedy(request["ids"], request["tokens"])}
    peer.release()
    return {"ok": True}


def _say(answer):
    _answers.write(json.dumps(answer) + "\n")
    _answers.flush()


def wait_until_idle(at_most_secs=1.0):
    """Returns when this process's threads have stopped spinning.

    Threads of an OpenMP pool go on spinning after their last work (Intel's for 200 ms), which would slow whoever is
    measured next. Making them sleep at once would slow the peer itself, so its answer waits for them instead.
    """
    end = time.perf_counter() + at_most_secs
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(0.02)
        if time.process_time() - before < 0.002:
            return


def need_positions(model, depth, tokens):
    """GPT-2 has a learned row for each position, and none beyond the last."""
    if depth + tokens > model["n_positions"]:
        raise Refused(f"depth {depth} and {tokens} tokens need {depth + tokens} positions; "
                      f"{model['name']} has {model['n_positions']}")


def need_one_of(what, value, known):
    if value not in known:
        raise Refused(f"{what} {value!r} is not offered; there are {', '.join(known)}")
