"""Writes a GPT-2 as a GGUF file, which is what llama.cpp loads."""

import gguf
import numpy as np

QUANTS = gguf.GGMLQuantizationType
TYPES = {"f32": QUANTS.F32, "f16": QUANTS.F16, "bf16": QUANTS.BF16, "q8_0": QUANTS.Q8_0}

NAMES = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
         "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}


def write(path, sizes, arrays, weights):
    """Bytes of the tensors written. Matrices are of the type `weights`; norms, biases and positions f32, as llama.cpp's
    own converter leaves them. There is no tokenizer: ids go in and come out."""
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(sizes["n_positions"])
    writer.add_embedding_length(sizes["n_embd"])
    writer.add_block_count(sizes["n_layer"])
    writer.add_feed_forward_length(sizes["n_inner"])
    writer.add_head_count(sizes["n_head"])
    writer.add_layer_norm_eps(sizes["layer_norm_epsilon"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(sizes["vocab_size"])
    n_bytes = 0
    for name, array in arrays.items():
        if ".c_" in name and array.ndim == 2:
            array = np.ascontiguousarray(array.T)  # [inputs, outputs] -> [outputs, inputs]
        is_matrix = array.ndim == 2 and not name.endswith("wpe.weight")
        kind = TYPES[weights] if is_matrix else QUANTS.F32
        data = gguf.quants.quantize(array, kind)
        writer.add_tensor(_name(name), data, raw_dtype=kind)
        n_bytes += data.nbytes
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return n_bytes


def _name(name):
    """transformer.h.3.attn.c_attn.weight -> blk.3.attn_qkv.weight"""
    rest, _, leaf = name.removeprefix("transformer.").rpartition(".")
    if rest.startswith("h."):
        _, layer, part = rest.split(".", 2)
        return f"blk.{layer}.{NAMES[part]}.{leaf}"
    return {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}[rest] + f".{leaf}"
