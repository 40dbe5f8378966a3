"""The tokenizer, and training batches made in a process of their own.

Batches depend only on the seed and the step, so a resumed run sees what an unbroken one would.
Run as a script, this trains the tokenizer: data.py OUT.json
"""

import multiprocessing
import random
import sys
from queue import Full

import numpy as np

from grammar import long_row, training_row
from row import END_OF_TEXT, MAX_KEYS, PADDING
from words import COLOURS, NAMES, VALUES

# Guide entries kept per row, as a part of its length: owner, recalled, name, facts.
GUIDE_SHARE = (0.45, 0.15, 0.17, 0.10)


class Encoder:
    """Encodes pieces of text; the language has few different pieces, so it remembers them."""

    def __init__(self, path):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(path))
        self.vocab_size = self.tokenizer.get_vocab_size()
        self.known = {}

    def __call__(self, text):
        if text not in self.known:
            self.known[text] = self.tokenizer.encode(text).ids
        return self.known[text]

    def decode(self, ids):
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)


def train_tokenizer(path, vocab_size=2048):
    """Byte-level BPE like GPT-2's; it runs out of merges long before `vocab_size`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    whole = lambda text: [text]  # with pieces as tokens, a row's tokens are its text
    stories = ["".join(training_row(whole, f"tokenizer {i}", 1000).ids).replace(END_OF_TEXT, "\n") for i in range(1200)]
    words = NAMES + COLOURS + [w for v in VALUES.values() for w in v]
    lists = ["\n".join(NAMES), " ".join([""] + words)] * 20
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(stories + lists, trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.save(str(path))

    encode = Encoder(path)
    parts = [w for w in words if len(encode(" " + w)) > 1] + [n for n in NAMES if len(encode(n)) > 1]
    assert not parts, f"not one token: {parts}"
    for seed in range(50):  # the pieces' tokens are the text's tokens
        row = training_row(encode, f"check {seed}", 1000)
        assert encode.tokenizer.encode(encode.decode(row.ids)).ids == row.ids
    print("vocabulary", encode.vocab_size)


def arrays(rows, length):
    """Rows -> ids, kind, distance [B, T + 1] and per guide (query [B, R], keys [B, R, K]).

    Unused entries have keys of T, one past the last position."""
    out = {}
    fill = {"ids": 0, "kind": PADDING, "distance": 0}
    for field, pad in fill.items():
        a = np.full((len(rows), length + 1), pad, np.int64)
        for b, row in enumerate(rows):
            values = getattr(row, field)[: length + 1]
            a[b, : len(values)] = values
        out[field] = a
    out["guides"] = []
    for g, share in enumerate(GUIDE_SHARE):
        size = int(share * length)
        query = np.zeros((len(rows), size), np.int64)
        keys = np.full((len(rows), size, MAX_KEYS), length, np.int64)
        for b, row in enumerate(rows):
            entries = [e for e in row.guides[g] if e[0] < length][:size]
            for r, (q, k) in enumerate(entries):
                query[b, r] = q
                keys[b, r, : len(k)] = k[:MAX_KEYS]
        out["guides"].append((query, keys))
    return out


def batch(encode, seed, step, length, size):
    out = arrays([training_row(encode, f"{seed} {step} {b}", length + 1) for b in range(size)], length)
    # Short rows go to random places of the 1,024 positions, so that all of them are trained.
    rng = random.Random(f"{seed} {step}")
    room = 1024 - length
    out["offset"] = np.array([[rng.randint(0, room) if rng.random() < 0.7 else 0] for _ in range(size)])
    return out


def held_out_batch(encode, length, size, seed="held out"):
    make = long_row if length > 512 else training_row
    return arrays([make(encode, f"{seed} {b}", length + 1, held=True) for b in range(size)], length)


def _produce(queue, tokenizer, seed, steps):
    encode = Encoder(tokenizer)
    for step, length, size in steps:
        made = batch(encode, seed, step, length, size)
        while True:
            try:
                queue.put(made, timeout=5)
                break
            except Full:  # the trainer is slow, or was killed
                if not multiprocessing.parent_process().is_alive():
                    return


def batches(tokenizer, seed, steps):
    """Batches for `steps`, a list of (step, length, size), made ahead by another process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=8)
    context.Process(target=_produce, args=(queue, str(tokenizer), seed, steps), daemon=True).start()
    for _ in steps:
        yield queue.get()


if __name__ == "__main__":
    train_tokenizer(sys.argv[1])
