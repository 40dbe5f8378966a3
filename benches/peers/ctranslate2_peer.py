"""CTranslate2 as a peer: its own GPT-2, with the one cache it has (f32, made longer each token).

Its API has no single step: `generate_batch` is the whole loop. It calls a function after each token of each sequence, so a
step is the time from one call for the last sequence to the next. The cached tokens are its "static prompt", whose state it
keeps between calls.
"""

import protocol  # first: see there

import platform
import tempfile
import time

import ctranslate2
import numpy as np
from ctranslate2.specs import common_spec, transformer_spec

import gpt2_weights
from protocol import Refused, need_one_of, need_positions

COMPUTE = {"f32": "float32", "int8": "int8_float32"}  # what this package has for CPUs
LARGEST_SCORES_BYTES = 4 << 30


class CTranslate2:
    def hello(self):
        return {
            "peer": "ctranslate2",
            "lanes": ["ctranslate2"],
            "weights": list(COMPUTE),
            "caches": {"ctranslate2": "f32"},
            "versions": {"ctranslate2": ctranslate2.__version__, "python": platform.python_version()},
            "notes": [
                "a step is timed between two calls of generate_batch's callback, which includes a Python call for each "
                "sequence",
                "pp is a whole generate_batch of one token: all but the last prompt token in one pass without logits, the "
                "last one as a step",
                "int8 quantizes activations too (int8 x int8), the cache stays f32; cache_bytes is not told by the library",
                "all sequences share one prompt and first token",
            ],
        }

    def load(self, model, weights, threads):
        need_one_of("weights", weights, COMPUTE)
        self.generator = None
        sizes, arrays = gpt2_weights.read(model)
        # Parameters are counted as published: the output layer is the embedding again.
        n_params = sum(array.size for array in arrays.values())
        self.sizes = sizes
        spec = _spec(sizes, arrays)
        spec.validate()
        spec.optimize(COMPUTE[weights])
        n_bytes = sum(v.numpy().nbytes for v in spec.variables().values() if not isinstance(v, str))
        with tempfile.TemporaryDirectory(prefix="kvlab-ctranslate2-") as folder:  # read at once
            spec.save(folder)
            self.generator = ctranslate2.Generator(folder, "cpu", compute_type=COMPUTE[weights], intra_threads=threads)
        return {"weight_bytes": n_bytes, "n_params": n_params}

    def prepare(self, lane, test, depth, tokens, batch):
        need_one_of("lane", lane, ["ctranslate2"])
        self.test, self.tokens, self.batch = test, tokens, batch
        # A decode makes its state in a first, untimed step, so one token less is static.
        depth = max(depth, 1) if test == "tg" else depth
        static, new = (depth - 1, 1) if test == "tg" else (depth, tokens)
        need_positions(self.sizes, depth, tokens)
        scores = self.sizes["n_head"] * max(static, new) ** 2 * 4
        if scores > LARGEST_SCORES_BYTES:
            raise Refused(f"CTranslate2 reads a prompt in one pass: scores of {scores >> 20} MiB for each layer at depth {depth}")
        words = [f"t{i}" for i in gpt2_weights.random_ids(self.sizes["vocab_size"], static + new)]
        self.static, self.new = words[:static], words[static:]
        if static:  # makes the library keep the state of the static prompt
            self._generate(self.new, 1, self.static)

    def run(self):
        if self.test == "pp":
            start = time.perf_counter()
            self._generate(self.new, 1, self.static)
            return [time.perf_counter() - start]
        ends = []

        def after_token(result):
            if result.batch_id == self.batch - 1:
                ends.append(time.perf_counter())
            return False

        self._generate(self.new, self.tokens + 1, self.static, after_token)
        return [end - begin for begin, end in zip(ends, ends[1:])]

    def release(self):
        """The state of the last static prompt stays in the library until the next model: it has no call to drop it."""
        self.static = self.new = None

    def greedy(self, ids, tokens):
        """Through a static prompt, as the measurements go."""
        self.batch = 1
        words = [f"t{i}" for i in ids]
        return self._generate(words[-1:], tokens, words[:-1])[0].sequences_ids[0]

    def _generate(self, prompt, tokens, static, callback=None):
        return self.generator.generate_batch(
            [prompt] * self.batch, beam_size=1, sampling_topk=1, max_length=tokens, min_length=tokens,  # never stops early
            static_prompt=static or None, cache_static_prompt=True, include_prompt_in_result=False, callback=callback)


def _spec(sizes, arrays):
    """GPT-2 as CTranslate2 lays it out: as its own converter from Hugging Face does."""
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        sizes["n_layer"], sizes["n_head"], pre_norm=True, activation=common_spec.Activation.GELUTanh)
    decoder = spec.decoder

    def norm(to, name):
        to.gamma, to.beta = arrays[f"{name}.weight"], arrays[f"{name}.bias"]

    def linear(to, name):
        to.weight = np.ascontiguousarray(arrays[f"{name}.weight"].T)  # [inputs, outputs] -> [outputs, inputs]
        to.bias = arrays[f"{name}.bias"]

    decoder.scale_embeddings = False
    decoder.embeddings.weight = decoder.projection.weight = arrays["transformer.wte.weight"]
    decoder.position_encodings.encodings = arrays["transformer.wpe.weight"]
    norm(decoder.layer_norm, "transformer.ln_f")
    for i, layer in enumerate(decoder.layer):
        block = f"transformer.h.{i}"
        norm(layer.self_attention.layer_norm, f"{block}.ln_1")
        linear(layer.self_attention.linear[0], f"{block}.attn.c_attn")
        linear(layer.self_attention.linear[1], f"{block}.attn.c_proj")
        norm(layer.ffn.layer_norm, f"{block}.ln_2")
        linear(layer.ffn.linear_0, f"{block}.mlp.c_fc")
        linear(layer.ffn.linear_1, f"{block}.mlp.c_proj")
    # It speaks of words, not of ids: word i is "ti". Some must stand for begin, end and unknown.
    spec.register_vocabulary([f"t{i}" for i in range(sizes["vocab_size"])])
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = "t0"
    spec.config.layer_norm_epsilon = sizes["layer_norm_epsilon"]
    return spec


if __name__ == "__main__":
    protocol.serve(CTranslate2())
