"""llama.cpp as a peer, through the C functions that llama-cpp-python exposes: one llama_decode is one step."""

import protocol  # first: see there

import ctypes
import os
import platform
import struct
import sys
import tempfile
import time

import llama_cpp as llama
import numpy as np

import gguf_file
import gpt2_weights
from protocol import Refused, need_one_of, need_positions

# Type of keys and values; (bytes of a block, numbers in it).
LANES = {"llama.cpp": llama.GGML_TYPE_F16, "llama.cpp-f32": llama.GGML_TYPE_F32, "llama.cpp-q8_0": llama.GGML_TYPE_Q8_0}
BLOCKS = {llama.GGML_TYPE_F16: (2, 1), llama.GGML_TYPE_F32: (4, 1), llama.GGML_TYPE_Q8_0: (34, 32)}

# A prefill costs the square of its length. The rows of deeper caches are those of a prefill this long, again and again.
DEEPEST_PREFILL = 2048



@llama.llama_log_callback
def _log(level, text, _):
    """Passes on warnings and errors (levels 3 and 4): without this it tells much about every model and context."""
    if level in (3, 4):
        sys.stderr.write(text.decode(errors="replace"))


class LlamaCpp:
    def __init__(self):
        self.model = self.context = None
        llama.llama_log_set(_log, None)
        llama.llama_backend_init()

    def hello(self):
        return {
            "peer": "llama.cpp",
            "lanes": list(LANES),
            "weights": list(gguf_file.TYPES),
            "caches": {"llama.cpp": "f16", "llama.cpp-f32": "f32", "llama.cpp-q8_0": "q8_0"},
            "versions": {"llama-cpp-python": llama.__version__, "python": platform.python_version(),
                         "build": " ".join(llama.llama_print_system_info().decode().split())},
            "notes": [
                "a step is one llama_decode and numpy's argmax over its logits",
                "flash attention is left to llama.cpp (it takes it on a CPU); llama.cpp is its default f16 cache",
                "q8_0 quantizes activations too; norms, biases and positions are f32; matrices may be repacked at loading",
                "each sequence has its own part of the cache (kv_unified off, the default), reserved for depth + tokens and "
                "rounded up by llama.cpp; cache_bytes is what is reserved",
                f"one sequence is prefilled for real and copied to all; beyond {DEEPEST_PREFILL} tokens the same rows again",
            ],
        }

    def load(self, model, weights, threads):
        need_one_of("weights", weights, gguf_file.TYPES)
        self.release()
        if self.model:
            llama.llama_model_free(self.model)
            self.model = None
        sizes, arrays = gpt2_weights.read(model)
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        # The file is gone when the folder is; what llama.cpp has mapped of it stays until the model is freed.
        with tempfile.TemporaryDirectory(prefix="kvlab-llama-cpp-") as folder:
            path = os.path.join(folder, "model.gguf")
            n_bytes = gguf_file.write(path, sizes, arrays, weights)
            self.model = llama.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            raise Refused(f"llama.cpp does not load the {weights} model; see standard error")
        self.sizes, self.threads = sizes, threads
        return {"weight_bytes": n_bytes, "n_params": sum(array.size for array in arrays.values())}

    def prepare(self, lane, test, depth, tokens, batch):
        need_one_of("lane", lane, LANES)
        self.release()
        self.test, self.tokens, self.batch = test, tokens, batch
        self.depth = max(depth, 1) if test == "tg" else depth
        need_positions(self.sizes, self.depth, tokens)
        new = 1 if test == "tg" else tokens
        ids = gpt2_weights.random_ids(self.sizes["vocab_size"], batch, self.depth + new)
        self.new_ids = ids[:, self.depth:]
        self._open(LANES[lane], self.depth + tokens, batch, most_new=batch * new)
        real = min(self.depth, DEEPEST_PREFILL)
        if real:
            self._forward(ids[:1, :real], 0)
        if self.depth > real:
            self._repeat_rows(real, self.depth)
        for sequence in range(1, batch if self.depth else 0):
            llama.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)
        block_bytes, block_len = BLOCKS[LANES[lane]]
        return (2 * self.sizes["n_layer"] * self.sizes["n_embd"] // block_len * block_bytes
                * llama.llama_n_ctx_seq(self.context) * batch)

    def run(self):
        for sequence in range(self.batch):
            if not llama.llama_memory_seq_rm(self.memory, sequence, self.depth, -1):
                raise Refused("llama.cpp does not take tokens out of this cache")
        if self.test == "tg":
            return self._decode(self.new_ids, self.depth, self.tokens)[0]
        start = time.perf_counter()
        self._forward(self.new_ids, self.depth)
        return [time.perf_counter() - start]

    def release(self):
        if self.context:
            llama.llama_batch_free(self.batch_memory)
            llama.llama_free(self.context)
            self.context = None

    def greedy(self, ids, tokens):
        """Through the default lane, whatever was prepared."""
        self.release()
        self._open(llama.GGML_TYPE_F16, len(ids) + tokens, 1, most_new=len(ids))
        first = self._forward(np.array([ids]), 0)
        rest = self._decode(first, len(ids), tokens - 1)[1]
        self.release()
        return [int(one[0, 0]) for one in [first, *rest]]

    def _open(self, kind, length, batch, most_new):
        params = llama.llama_context_default_params()
        # Rounded up here, as llama.cpp wants each sequence's part to be a multiple of 256.
        params.n_ctx = -(-length // 256) * 256 * batch
        params.n_seq_max = batch
        params.n_batch = max(most_new, min(length, DEEPEST_PREFILL), 32)
        params.n_threads = params.n_threads_batch = self.threads
        params.type_k = params.type_v = kind
        self.context = llama.llama_init_from_model(self.model, params)
        if not self.context:
            raise Refused("llama.cpp makes no context of this kind; see standard error")
        self.memory = llama.llama_get_memory(self.context)
        self.batch_memory = llama.llama_batch_init(params.n_batch, 0, 1)

    def _forward(self, ids, position):
        """[sequences, new tokens] ids, the first at `position` -> [sequences, 1] most likely next ids."""
        sequences, new = ids.shape
        batch, n = self.batch_memory, 0
        for sequence, row in enumerate(ids.tolist()):
            for i, token in enumerate(row):
                batch.token[n], batch.pos[n], batch.n_seq_id[n] = token, position + i, 1
                batch.seq_id[n][0] = sequence
                batch.logits[n] = i == new - 1
                n += 1
        batch.n_tokens = n
        status = llama.llama_decode(self.context, batch)
        if status:
            raise Refused(f"llama_decode failed with status {status}")
        rows = [llama.llama_get_logits_ith(self.context, (s + 1) * new - 1) for s in range(sequences)]
        return np.array([[np.ctypeslib.as_array(row, (self.sizes["vocab_size"],)).argmax()] for row in rows])

    def _decode(self, last, position, tokens):
        secs, chosen = [], []
        for i in range(tokens):
            start = time.perf_counter()
            last = self._forward(last, position + i)
            secs.append(time.perf_counter() - start)
            chosen.append(last)
        return secs, chosen

    def _repeat_rows(self, real, depth):
        """Makes sequence 0, which has `real` tokens, `depth` long, by the functions that save and load its state.

        Of a saved sequence of n tokens: magic, sequence, streams, n (4 bytes each); then n times position, 1, sequence;
        then whether values are transposed, and layers; then for keys and again for values, for each layer: type (4 bytes),
        bytes of a row (8), n rows. A 0 ends it for each further stream.
        """
        n_bytes = llama.llama_state_seq_get_size(self.context, 0)
        saved = (ctypes.c_uint8 * n_bytes)()
        llama.llama_state_seq_get_data(self.context, saved, n_bytes, 0)
        saved = bytes(saved)
        transposed, layers = struct.unpack_from("II", saved, 16 + 12 * real)
        if struct.unpack_from("I", saved, 12) != (real,) or transposed or layers != self.sizes["n_layer"]:
            raise Refused("this llama.cpp saves sequences in another form; no cache deeper than a prefill")
        cells = np.array([[position, 1, 0] for position in range(depth)], np.int32)
        parts = [saved[:12], struct.pack("I", depth), cells.tobytes(), struct.pack("II", 0, layers)]
        at = 16 + 12 * real + 8
        times, over = divmod(depth, real)
        for _ in range(2 * layers):
            row_bytes = struct.unpack_from("=q", saved, at + 4)[0]
            rows = saved[at + 12:at + 12 + real * row_bytes]
            parts += [saved[at:at + 12], rows * times, rows[:over * row_bytes]]
            at += 12 + real * row_bytes
        longer = b"".join([*parts, saved[at:]])
        buffer = (ctypes.c_uint8 * len(longer)).from_buffer_copy(longer)
        if llama.llama_state_seq_set_data(self.context, buffer, len(longer), 0) != len(longer):
            raise Refused("llama.cpp did not take a cache this deep; see standard error")


if __name__ == "__main__":
    protocol.serve(LlamaCpp())
