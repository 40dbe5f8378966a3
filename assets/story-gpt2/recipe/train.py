"""Trains the story model: train.py TOKENIZER.json WORKDIR [--steps-short N --steps-long N ...]

Saves WORKDIR/checkpoint.pt every few minutes and resumes from it; the result depends on the seed
and on the number of steps, not on the clock.  The log is WORKDIR/training.jsonl.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from data import Encoder, batches, held_out_batch
from model import Gpt2
from row import CHOSEN, LISTED, NAMED, PADDING, RECALL, RECALL_NOUN, STATED, TEXT

# The loss weight of each kind of token (see row.py), and what changes at later steps: first the
# facts are learned, then the names, then who is in a scene and what is told of whom.
KIND_WEIGHT = {TEXT: 1.0, RECALL: 4.0, RECALL_NOUN: 2.0, STATED: 0.5, PADDING: 0.0, NAMED: 1.0, LISTED: 1.0, CHOSEN: 1.0}
LATER_WEIGHT = {600: {NAMED: 3.0, LISTED: 3.0}, 1600: {LISTED: 6.0, CHOSEN: 3.0}}
BUCKETS = [(1, 100), (100, 300), (300, 600), (600, 900)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("tokenizer")
    add("workdir", type=Path)
    add("--steps-short", type=int, default=480, help="steps of 16 rows of 256 tokens")
    add("--steps-long", type=int, default=2420, help="steps of 4 rows of 1,024 tokens")
    add("--layers", type=int, default=5)
    add("--lr", type=float, default=3e-3)
    add("--warm-up", type=int, default=100)
    add("--decay-from", type=int, default=1300, help="from this step on the rate falls, to 0 at the end")
    add("--guide", type=float, default=0.5, help="weight of the guided heads' loss")
    add("--guide-steps", type=int, default=2200, help="it fades to 0 over these steps")
    add("--seed", type=int, default=1)
    add("--threads", type=int, default=2)
    add("--save-seconds", type=float, default=180)
    add("--log-every", type=int, default=50)
    return parser.parse_args()


def optimizers(model, lr):
    """Muon for the blocks' matrices, AdamW for the rest."""
    named = list(model.named_parameters())
    matrices = [p for n, p in named if n.startswith("h.") and p.ndim == 2]
    rest = [p for n, p in named if not (n.startswith("h.") and p.ndim == 2)]
    return [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def weights_at(step):
    weights = dict(KIND_WEIGHT)
    for since, changes in LATER_WEIGHT.items():
        weights |= changes if step >= since else {}
    return weights


@torch.no_grad()
def recall(model, held):
    """Loss and recall by distance on held-out pairs."""
    ids, kind, distance = (torch.from_numpy(held[k]) for k in ("ids", "kind", "distance"))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(ids[:, :-1]).float()
    target, kind, distance = ids[:, 1:], kind[:, 1:], distance[:, 1:]
    right = logits.argmax(-1) == target
    loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    out = {"held_out_loss": round(loss[kind.flatten() != PADDING].mean().item(), 4)}
    for low, high in BUCKETS:
        here = (kind == RECALL) & (distance >= low) & (distance < high)
        if here.sum() > 10:
            out[f"recall_{low}_{high}"] = round(right[here].float().mean().item(), 4)
    return out


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    encode = Encoder(a.tokenizer)
    model = Gpt2(encode.vocab_size, layers=a.layers)
    opts = optimizers(model, a.lr)
    weight_of = torch.zeros(len(KIND_WEIGHT))
    plan = [(s, 256, 16) for s in range(a.steps_short)]
    plan += [(a.steps_short + s, 1024, 4) for s in range(a.steps_long)]

    def loss_of(ids, offset, target, weight, guide_weight, guides):
        with torch.autocast("cpu", torch.bfloat16):
            logits, guided = model(ids, offset, guides=guides)
        loss = F.cross_entropy(logits.float().flatten(0, 1), target.flatten(), reduction="none")
        loss = (loss * weight.flatten()).sum() / weight.sum()
        return loss + guide_weight * sum(guided), loss, torch.stack(guided)

    compiled = torch.compile(loss_of, dynamic=False)
    held = {256: held_out_batch(encode, 256, 32), 1024: held_out_batch(encode, 1024, 8)}
    checkpoint, log_path = a.workdir / "checkpoint.pt", a.workdir / "training.jsonl"
    a.workdir.mkdir(parents=True, exist_ok=True)
    done, tokens, seconds = 0, 0, 0.0
    settings = {k: v for k, v in vars(a).items() if k not in ("tokenizer", "workdir", "threads", "save_seconds")}
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        assert saved["settings"] == settings, "the checkpoint is of a run with other settings"
        model.load_state_dict(saved["model"])
        for opt, state in zip(opts, saved["optimizers"]):
            opt.load_state_dict(state)
        done, tokens, seconds = saved["done"], saved["tokens"], saved["seconds"]
        # Lines after the checkpoint belong to steps that are done again.
        lines = [l for l in log_path.read_text().splitlines() if json.loads(l)["step"] <= done]
        log_path.write_text("".join(l + "\n" for l in lines))
        print("resuming after step", done, flush=True)
    elif log_path.exists():
        log_path.unlink()

    def save():
        state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in opts], "size": model.size,
                 "settings": settings, "done": done, "tokens": tokens, "seconds": seconds + time.time() - start}
        torch.save(state, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)

    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, vocabulary {encode.vocab_size}", flush=True)
    start = saved_at = time.time()
    with open(log_path, "a") as log:
        for (step, length, _), made in zip(plan[done:], batches(a.tokenizer, a.seed, plan[done:])):
            ids, kind, offset = (torch.from_numpy(made[k]) for k in ("ids", "kind", "offset"))
            guides = [(torch.from_numpy(q), torch.from_numpy(k)) for q, k in made["guides"]]
            lr = a.lr * min(1, (step + 1) / a.warm_up, (len(plan) - step) / max(1, len(plan) - a.decay_from))
            for opt in opts:
                for group in opt.param_groups:
                    group["lr"] = lr
            guide_weight = torch.tensor(a.guide * max(0.0, 1 - step / a.guide_steps))
            for kind_, weight in weights_at(step).items():
                weight_of[kind_] = weight
            total, loss, guided = compiled(ids[:, :-1].contiguous(), offset, ids[:, 1:].contiguous(),
                                           weight_of[kind[:, 1:]], guide_weight, guides)
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for opt in opts:
                opt.step()
                opt.zero_grad(set_to_none=True)
            done, tokens = step + 1, tokens + ids[:, 1:].numel()
            if done % a.log_every == 0 or done == len(plan):
                line = {"step": done, "length": length, "tokens": tokens, "lr": round(lr, 6),
                        "seconds": round(seconds + time.time() - start, 1), "loss": round(loss.item(), 4),
                        "guides": [round(g, 3) for g in guided.tolist()]}
                if done % (2 * a.log_every) == 0 or done == len(plan):
                    line |= recall(model, held[length])
                print(json.dumps(line), flush=True)
                log.write(json.dumps(line) + "\n")
                log.flush()
            if time.time() - saved_at > a.save_seconds:
                save()
                saved_at = time.time()
        save()
    os.replace(checkpoint, a.workdir / "final.pt")


if __name__ == "__main__":
    main()
