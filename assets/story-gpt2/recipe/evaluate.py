"""Measures the exported model: evaluate.py CHECKPOINT MODELDIR TRAINING.jsonl

Writes MODELDIR/heldout.jsonl and MODELDIR/evaluation.json.  Everything runs in f32.
"""

import json
import math
import platform
import sys
import time
from pathlib import Path

import safetensors
import tokenizers
import torch
import torch.nn.functional as F
import transformers

from data import Encoder, arrays
from export import load
from grammar import long_row, training_row
from measures import BUCKETS, measure
from model import causal
from row import RECALL, RECALL_NOUN

EMBEDDED, STORIES = 32, 96  # stories in heldout.jsonl, and in the table
OPENINGS = ["Once upon a time there were", "There once were", "In a small town lived", "This is a story about"]
SAMPLES, NEW_TOKENS, TEMPERATURE, TOP_P = 100, 600, 0.7, 0.95


# Ways to spoil the cache, as attention functions; q, k, v are [B, H, T, D].

def rounded(x, bits):
    """Symmetric rounding, one scale per token and head."""
    top = 2 ** (bits - 1) - 1
    scale = x.abs().amax(-1, keepdim=True).clamp_min(1e-8) / top
    return (x / scale).round().clamp(-top, top) * scale


def quantized(key_bits, value_bits):
    def attend(q, k, v):
        k = rounded(k, key_bits) if key_bits else k
        return causal(q, k, rounded(v, value_bits) if value_bits else v)
    return attend


def windowed(size, sinks):
    def attend(q, k, v):
        i, j = torch.arange(q.shape[2])[:, None], torch.arange(q.shape[2])[None]
        mask = (j <= i) & ((i - j < size) | (j < sinks))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return attend


def held_out_stories(encode, count):
    return [long_row(encode, f"held out {i}", 1024, held=True) for i in range(count)]


def write_stories(rows, encode, path):
    lines = []
    for row in rows:
        recall = [{"position": p, "distance": row.distance[p], "token": row.ids[p]}
                  for p in range(1024) if row.kind[p] == RECALL]
        ids = row.ids[:1024]
        lines.append(json.dumps({"text": encode.decode(ids), "ids": ids, "recall": recall}))
    path.write_text("\n".join(lines) + "\n")


@torch.no_grad()
def recall_table(model, rows, attend):
    data = arrays(rows, 1023)  # 1,024 tokens; the last one is only a target
    ids, kind, distance = (torch.from_numpy(data[k]) for k in ("ids", "kind", "distance"))
    loss, right = [], []
    for part in ids.split(8):
        logits, target = model(part[:, :-1], attend=attend), part[:, 1:]
        loss.append(F.cross_entropy(logits.flatten(0, 1), target.flatten()).item())
        right.append(logits.argmax(-1) == target)
    right, kind, distance = torch.cat(right), kind[:, 1:], distance[:, 1:]
    out = {"perplexity": round(math.exp(sum(loss) / len(loss)), 3), "recall_percent": {}, "count": {}}
    for low, high in BUCKETS:
        here = (kind == RECALL) & (distance >= low) & (distance < high)
        out["count"][f"{low}-{high}"] = int(here.sum())
        out["recall_percent"][f"{low}-{high}"] = round(100 * right[here].float().mean().item(), 1)
    nouns = kind == RECALL_NOUN
    out["second_word_percent"] = round(100 * right[nouns].float().mean().item(), 1)
    return out


@torch.no_grad()
def guess_latest(rows):
    """What guessing the latest value of that attribute would score, by distance."""
    hits, counts = [0] * len(BUCKETS), [0] * len(BUCKETS)
    for row in rows:
        events = sorted((p, key) for key, places in row.mentions.items() if key[2] == 0 for p in places if p < 1024)
        latest = {}
        for p, (name, attribute, _) in events:
            if row.kind[p] == RECALL:
                b = next((i for i, (lo, hi) in enumerate(BUCKETS) if lo <= row.distance[p] < hi), None)
                if b is not None:
                    counts[b] += 1
                    hits[b] += latest[attribute] == name
            latest[attribute] = name
    return {f"{lo}-{hi}": round(100 * h / max(c, 1), 1) for (lo, hi), h, c in zip(BUCKETS, hits, counts)}


@torch.no_grad()
def answer_prompts(hf, encode, path):
    rows = []
    for case in json.loads(path.read_text()):
        ids = torch.tensor([encode.tokenizer.encode(case["prompt"]).ids])
        count = len(encode(case["answer"]))
        out = hf.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count, pad_token_id=0)
        answer = encode.decode(out[0, ids.shape[1]:].tolist())
        rows.append(case | {"given": answer, "right": answer == case["answer"]})
    return {"right": sum(r["right"] for r in rows), "of": len(rows), "cases": rows}


@torch.no_grad()
def sample_stories(hf, encode, openings=OPENINGS, samples=SAMPLES, seed=0):
    stories = []
    for number, opening in enumerate(openings):
        torch.manual_seed(seed + number)  # of its own, or the openings would get the same stories
        ids = torch.tensor([encode.tokenizer.encode(opening).ids] * (samples // len(openings)))
        out = hf.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=TEMPERATURE,
                          top_p=TOP_P, top_k=0, max_new_tokens=NEW_TOKENS, pad_token_id=0)
        for row in out.tolist():
            ended = 0 in row
            stories.append((encode.decode(row[: row.index(0)] if ended else row), ended))
    return stories


def text_measures(stories):
    each = [measure(text, ended) for text, ended in stories]
    total = {k: sum(m[k] for m in each) for k in each[0]}
    percent = lambda a, b: round(100 * total[a] / max(1, total[b]), 2)
    many = [m for m in each if m["friends"] >= 3]
    return {
        "stories": len(each),
        "lists": total["lists"],
        "lists_repeating_a_name_percent": percent("lists_repeating", "lists"),
        "lists_naming_strangers_percent": percent("lists_naming_strangers", "lists"),
        "restated_facts": total["restated"],
        "restated_facts_contradicting_percent": percent("contradictions", "restated"),
        "mentions_in_scenes": total["mentions_in_scenes"],
        "mentions_of_untold_facts_percent": percent("mentions_of_untold_facts", "mentions_in_scenes"),
        "stories_of_3_or_more_friends": len(many),
        "of_these_with_3_or_more_acting": sum(m["acting"] >= 3 for m in many),
        "ended_within_600_tokens": sum(m["ended"] for m in each),
    }


def main(checkpoint, directory, training_log):
    start, directory = time.time(), Path(directory)
    torch.set_num_threads(2)
    model, saved = load(checkpoint)
    encode = Encoder(directory / "tokenizer.json")
    hf = transformers.GPT2LMHeadModel.from_pretrained(directory).eval()
    rows = held_out_stories(encode, STORIES)
    write_stories(rows[:EMBEDDED], encode, directory / "heldout.jsonl")

    ids = torch.tensor([r.ids[:1024] for r in rows[:2]])
    with torch.no_grad():
        parity = (hf(ids).logits - model(ids)).abs().max().item()
    caches = {"exact": causal, "window 512 + 4 sinks": windowed(512, 4), "window 256 + 4 sinks": windowed(256, 4),
              "window 64 + 4 sinks": windowed(64, 4), "8 bits": quantized(8, 8), "4 bits": quantized(4, 4),
              "3 bits": quantized(3, 3), "2 bits": quantized(2, 2), "keys 2 bits only": quantized(2, 0),
              "values 2 bits only": quantized(0, 2)}
    table = {}
    for name, attend in caches.items():
        table[name] = recall_table(model, rows, attend)
        print(name, table[name], flush=True)
    prompts = answer_prompts(hf, encode, Path(__file__).parent / "prompts.json")
    print("prompts", prompts["right"], [c for c in prompts["cases"] if not c["right"]], flush=True)
    stories = sample_stories(hf, encode)
    text = text_measures(stories)
    print("text", text, flush=True)
    real = [encode.decode(training_row(encode, f"text {i}", 1024).ids[:620]) for i in range(300)]
    real = [t.removeprefix("<|endoftext|>") for t in real]
    real = [(t.split("<|endoftext|>")[0], "<|endoftext|>" in t) for t in real if t.startswith(tuple(OPENINGS))][:SAMPLES]
    log = [json.loads(l) for l in Path(training_log).read_text().splitlines()]
    sizes = {n: (directory / n).stat().st_size for n in ("model.safetensors", "tokenizer.json", "config.json")}
    result = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": sizes | {"total": sum(sizes.values())},
        "training": {
            "tokens": saved["tokens"], "steps": saved["done"], "seconds": round(saved["seconds"]),
            "final_loss": log[-1]["loss"], "threads": 2, "device": f"{platform.machine()} CPU, 2 cores, shared with other work",
            **saved["settings"]},
        "versions": {"python": platform.python_version(), "torch": torch.__version__,
                     "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
                     "safetensors": safetensors.__version__},
        "parity_max_abs_logit_difference": parity,
        "held_out": {"stories": STORIES, "tokens_each": 1024, "caches": table,
                     "guess_latest_of_attribute_percent": guess_latest(rows),
                     "exact_on_heldout_jsonl": recall_table(model, rows[:EMBEDDED], causal)},
        "prompts": prompts,
        "text": text | {"openings": OPENINGS, "temperature": TEMPERATURE, "top_p": TOP_P, "new_tokens": NEW_TOKENS,
                        "same_measures_on_training_language": text_measures(real),
                        "samples": [s for s, _ in stories[:: SAMPLES // 4]]},
        "evaluation_seconds": round(time.time() - start),
    }
    (directory / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
