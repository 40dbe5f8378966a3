"""Writes the trained model in the Hugging Face layout: export.py CHECKPOINT TOKENIZER.json OUTDIR"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from model import Gpt2


def load(checkpoint):
    saved = torch.load(checkpoint)
    model = Gpt2(**saved["size"])
    model.load_state_dict(saved["model"])
    return model.eval(), saved


def config(size):
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": size["vocab_size"],
        "n_positions": size["positions"],
        "n_ctx": size["positions"],
        "n_embd": size["C"],
        "n_layer": size["layers"],
        "n_head": size["heads"],
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": True,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }


def main(checkpoint, tokenizer, out):
    model, _ = load(checkpoint)
    out = Path(out)
    save_file(model.tensors(), out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    (out / "config.json").write_text(json.dumps(config(model.size), indent=2) + "\n")
    shutil.copyfile(tokenizer, out / "tokenizer.json")
    names = ("model.safetensors", "config.json", "tokenizer.json")
    print("exported", {n: (out / n).stat().st_size for n in names})


if __name__ == "__main__":
    main(*sys.argv[1:])
