"""restore_bias.py SOURCE TARGET: a checkpoint folder without `c_attn.bias` -> model.safetensors with it.

The reference beside the checkpoint was computed with the lost biases, so they are the solution of a smooth
least-squares problem: keys, values and attention of the first and last layer, and logits of the prompt and of the greedy
continuation. Needs torch, transformers and safetensors.
"""

import json
import math
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

SEEN = ["key_layer0", "value_layer0", "key_last", "value_last", "attention_layer0", "attention_last"]


def forward(weights, config, ids, biases, prefix):
    """GPT-2 in the weights' precision; `biases` [n_layer, 3 * n_embd]. Returns what the reference holds."""
    width, heads, layers = config["n_embd"], config["n_head"], config["n_layer"]
    get = lambda name: weights[prefix + name]
    norm = lambda x, name: torch.nn.functional.layer_norm(
        x, (width,), get(name + ".weight"), get(name + ".bias"), config["layer_norm_epsilon"])
    x = get("wte.weight")[ids] + get("wpe.weight")[: len(ids)]
    mask = torch.full((len(ids), len(ids)), float("-inf"), dtype=x.dtype).triu(1)
    seen = {}
    for layer in range(layers):
        block = f"h.{layer}"
        qkv = norm(x, f"{block}.ln_1") @ get(f"{block}.attn.c_attn.weight") + biases[layer]
        q, k, v = qkv.view(len(ids), 3, heads, width // heads).permute(1, 2, 0, 3)
        attention = (q @ k.transpose(1, 2) / math.sqrt(width // heads) + mask).softmax(-1)
        place = {0: "layer0", layers - 1: "last"}.get(layer)
        if place:
            seen |= {f"key_{place}": k, f"value_{place}": v, f"attention_{place}": attention}
        x = x + (attention @ v).transpose(0, 1).reshape(len(ids), width) @ get(f"{block}.attn.c_proj.weight")
        x = x + get(f"{block}.attn.c_proj.bias")
        hidden = norm(x, f"{block}.ln_2") @ get(f"{block}.mlp.c_fc.weight") + get(f"{block}.mlp.c_fc.bias")
        hidden = torch.nn.functional.gelu(hidden, approximate="tanh")
        x = x + hidden @ get(f"{block}.mlp.c_proj.weight") + get(f"{block}.mlp.c_proj.bias")
    seen["logits"] = norm(x, "ln_f") @ get("wte.weight").t()
    return seen


def solve(weights, config, reference, prefix):
    """The biases, f64. A ridge that shrinks keeps directions that few tokens see from running away."""
    prompt = reference["prompt_ids"].long()
    ids = torch.cat([prompt, reference["greedy_ids"].long()[:-1]])
    columns = torch.arange(0, config["vocab_size"], 5)  # a fifth of the logits is plenty and fits in memory
    cut = lambda name, t: t[:, : len(prompt), : len(prompt)] if "attention" in name else t[:, : len(prompt)]
    logits = torch.cat([reference["prefill_logits"], reference["decode_logits"][1:]]).double()[:, columns]
    target = torch.cat([reference[name].double().flatten() for name in SEEN] + [logits.flatten()])

    def observe(biases):
        seen = forward(weights, config, ids, biases.view(config["n_layer"], -1), prefix)
        return torch.cat([cut(name, seen[name]).flatten() for name in SEEN] + [seen["logits"][:, columns].flatten()])

    biases, ridge = torch.zeros(config["n_layer"] * 3 * config["n_embd"], dtype=torch.float64), 1e-3
    residual = target - observe(biases)
    for _ in range(25):
        jacobian = torch.func.jacfwd(observe)(biases)
        normal, gradient = jacobian.t() @ jacobian, jacobian.t() @ residual
        while True:
            step = torch.linalg.solve(normal + ridge * torch.eye(len(biases), dtype=torch.float64), gradient)
            trial = target - observe(biases + step)
            if trial.norm() < residual.norm() or ridge > 1e8:
                break
            ridge *= 10
        biases, residual, ridge = biases + step, trial, max(ridge / 10, 1e-12)
        print(f"largest residual {residual.abs().max():.1e}, step {step.abs().max():.1e}", flush=True)
        if step.abs().max() < 1e-7:
            break
    return biases.view(config["n_layer"], -1)


def check(tensors, config, reference, prefix):
    """The largest logit difference of transformers over the greedy generation."""
    model = GPT2LMHeadModel(GPT2Config(**config)).eval()
    names = {("" if prefix else "transformer.") + name: tensor for name, tensor in tensors.items()}
    model.load_state_dict(names, strict=False)
    model.tie_weights()
    ids, worst = reference["prompt_ids"].tolist(), 0.0
    for expected, greedy in zip(reference["decode_logits"], reference["greedy_ids"].tolist()):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        worst = max(worst, (logits - expected).abs().max().item())
        assert logits.argmax() == greedy
        ids.append(greedy)
    return worst


def main(source, target):
    tensors, reference = load_file(f"{source}/model.safetensors"), load_file(f"{source}/reference.safetensors")
    with open(f"{source}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    prefix = "transformer." if "transformer.wte.weight" in tensors else ""
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("c_attn.bias")}
    biases = solve({name: tensor.double() for name, tensor in tensors.items()}, config, reference, prefix)
    for layer, bias in enumerate(biases.float()):
        tensors[f"{prefix}h.{layer}.attn.c_attn.bias"] = bias.clone()
    print(f"max logit difference in transformers {check(tensors, config, reference, prefix):.1e}")
    save_file(tensors, f"{target}/model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main(*sys.argv[1:])
