"""The weights of a GPT-2 as numpy arrays in float32, under the names that Hugging Face gives them.

All peers take them from here, so that with random weights too they compute the same function.
"""

import json
import pathlib

import numpy as np

SEED = 0


def read(model):
    """(sizes, weights): of `model["folder"]`, or seeded random ones of the sizes in `model`.

    The output layer is not among them: it is `transformer.wte.weight` again.
    """
    sizes = dict(model, n_inner=4 * model["n_embd"], layer_norm_epsilon=1e-5)
    if model["folder"] is None:
        return sizes, _random(sizes)
    folder = pathlib.Path(model["folder"])
    config = json.loads((folder / "config.json").read_text())
    sizes.update((name, config[name]) for name in ["n_layer", "n_head", "n_embd", "n_positions", "vocab_size"])
    sizes["n_inner"] = config.get("n_inner") or 4 * config["n_embd"]
    sizes["layer_norm_epsilon"] = config["layer_norm_epsilon"]
    if config.get("activation_function", "gelu_new") != "gelu_new":
        raise ValueError(f"activation {config['activation_function']} is not GPT-2's")
    return sizes, _from_folder(folder)


def random_ids(vocab_size, *shape):
    """Seeded token ids as int64."""
    return np.random.default_rng(SEED + 1).integers(0, vocab_size, shape)


def _from_folder(folder):
    from safetensors.numpy import load_file

    weights = {}
    for name, array in load_file(folder / "model.safetensors").items():
        # Older files have no prefix, and carry the causal mask as a buffer.
        name = name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}"
        if not name.endswith((".attn.bias", ".attn.masked_bias", "lm_head.weight")):
            weights[name] = array.astype(np.float32)
    return weights


def _random(sizes):
    """Matrices normal with deviation 0.02, biases 0, norms 1: as GPT-2 begins its training."""
    rng = np.random.default_rng(SEED)
    d, inner = sizes["n_embd"], sizes["n_inner"]
    weights = {}

    def matrix(name, *shape):
        weights[name] = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    def norm(name):
        weights[f"{name}.weight"] = np.ones(d, np.float32)
        weights[f"{name}.bias"] = np.zeros(d, np.float32)

    def linear(name, n_in, n_out):
        matrix(f"{name}.weight", n_in, n_out)  # [inputs, outputs]: Hugging Face's Conv1D
        weights[f"{name}.bias"] = np.zeros(n_out, np.float32)

    matrix("transformer.wte.weight", sizes["vocab_size"], d)
    matrix("transformer.wpe.weight", sizes["n_positions"], d)
    for layer in range(sizes["n_layer"]):
        block = f"transformer.h.{layer}"
        norm(f"{block}.ln_1")
        linear(f"{block}.attn.c_attn", d, 3 * d)
        linear(f"{block}.attn.c_proj", d, d)
        norm(f"{block}.ln_2")
        linear(f"{block}.mlp.c_fc", d, inner)
        linear(f"{block}.mlp.c_proj", inner, d)
    norm("transformer.ln_f")
    return weights
