"""transformers (PyTorch) as a peer: GPT-2 of Hugging Face, with its own caches, uncompiled."""

import protocol  # first: see there

import platform
import time

import torch
import transformers

import gpt2_weights
from protocol import Refused, need_one_of, need_positions

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
LANES = ["transformers", "transformers-static", "transformers-none"]

# A prefill costs the square of its length. Deeper caches are filled with random rows, which take as long to read.
DEEPEST_PREFILL = 2048


class Transformers:
    def hello(self):
        return {
            "peer": "transformers",
            "lanes": LANES,
            "weights": list(DTYPES),
            "caches": {"transformers": "weights", "transformers-static": "weights"},
            "uncached": ["transformers-none"],
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                         "python": platform.python_version()},
            "notes": [
                "eager PyTorch, scaled_dot_product_attention, no torch.compile",
                "transformers is DynamicCache, transformers-static a StaticCache of exactly depth + tokens rows, "
                "transformers-none runs the model over the whole sequence for each token",
                f"up to {DEEPEST_PREFILL} tokens the cache is a real prefill of one sequence, copied to all; "
                "deeper ones are filled with seeded random keys and values",
            ],
        }

    def load(self, model, weights, threads):
        need_one_of("weights", weights, DTYPES)
        self.model = self.cache = None
        torch.set_num_threads(threads)
        sizes, arrays = gpt2_weights.read(model)
        names = ["n_layer", "n_head", "n_embd", "n_inner", "n_positions", "vocab_size", "layer_norm_epsilon"]
        config = transformers.GPT2Config(**{name: sizes[name] for name in names}, bos_token_id=0, eos_token_id=0)
        network = transformers.GPT2LMHeadModel(config).eval()
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        missing, unexpected = network.load_state_dict(tensors, strict=False)
        if unexpected or set(missing) - {"lm_head.weight"}:  # lm_head is tied to wte
            raise Refused(f"the weights do not fit: missing {missing}, unexpected {unexpected}")
        self.model, self.sizes = network.to(DTYPES[weights]), sizes
        parameters = list(self.model.parameters())  # tied ones once
        return {"weight_bytes": sum(p.nbytes for p in parameters), "n_params": sum(p.numel() for p in parameters)}

    def prepare(self, lane, test, depth, tokens, batch):
        need_one_of("lane", lane, LANES)
        self.release()
        self.lane, self.test, self.tokens = lane, test, tokens
        self.depth = max(depth, 1) if test == "tg" else depth
        need_positions(self.sizes, self.depth, tokens)
        new = 1 if test == "tg" else tokens
        ids = torch.from_numpy(gpt2_weights.random_ids(self.sizes["vocab_size"], batch, self.depth + new))
        self.old_ids, self.new_ids = ids[:, :self.depth], ids[:, self.depth:]
        if lane == "transformers-none":
            return 0
        with torch.inference_mode():
            filled = self._filled(self.depth, batch)
            if lane == "transformers":
                self.cache = filled
            else:
                self.cache = transformers.StaticCache(config=self.model.config, max_cache_len=self.depth + tokens)
                shape = (batch, self.sizes["n_head"], 0, self.sizes["n_embd"] // self.sizes["n_head"])
                nothing = torch.zeros(shape, dtype=self.model.dtype)
                for i in range(self.sizes["n_layer"]):
                    rows = (filled.layers[i].keys, filled.layers[i].values) if self.depth else (nothing, nothing)
                    self.cache.update(*rows, i)
        if self.depth == 0 and lane == "transformers":
            return 0
        # A DynamicCache never writes into its tensors, it makes longer ones: keeping these keeps the state.
        self.start = [(layer.keys, layer.values) for layer in self.cache.layers]
        return sum(keys.nbytes + values.nbytes for keys, values in self.start)

    def run(self):
        with torch.inference_mode():
            if self.test == "tg":
                return self._decode(self._restored(), self.new_ids, self.tokens)[0]
            cache = self._restored()
            ids = torch.cat([self.old_ids, self.new_ids], 1) if self.lane == "transformers-none" else self.new_ids
            start = time.perf_counter()
            self._forward(ids, cache)
            return [time.perf_counter() - start]

    def release(self):
        self.cache = self.start = None

    def greedy(self, ids, tokens):
        """Through the default lane, whatever was prepared."""
        self.release()
        self.lane = "transformers"
        with torch.inference_mode():
            cache = transformers.DynamicCache(config=self.model.config)
            first = self._forward(torch.tensor([ids]), cache)
            rest = self._decode(cache, first, tokens - 1)[1]
        return [int(one) for one in [first, *rest]]

    def _forward(self, ids, cache):
        """[batch, time] ids -> [batch, 1] most likely next ids."""
        logits = self.model(input_ids=ids, cache=cache, use_cache=cache is not None, logits_to_keep=1).logits
        return logits[:, -1].argmax(-1, keepdim=True)

    def _decode(self, cache, last, tokens):
        secs, chosen, whole = [], [], self.old_ids if self.lane == "transformers-none" else None
        for _ in range(tokens):
            start = time.perf_counter()
            if whole is None:
                last = self._forward(last, cache)
            else:
                whole = torch.cat([whole, last], 1)
                last = self._forward(whole, None)
            secs.append(time.perf_counter() - start)
            chosen.append(last)
        return secs, chosen

    def _restored(self):
        """The cache as `prepare` left it."""
        if self.lane == "transformers-none":
            return None
        if self.lane == "transformers-static":
            self.cache.crop(self.depth - int(self.cache.get_seq_length()))
            return self.cache
        cache = transformers.DynamicCache(config=self.model.config)
        for layer, (keys, values) in zip(cache.layers, self.start or []):
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
        return cache

    def _filled(self, depth, batch):
        """A DynamicCache of `depth` tokens for each of `batch` sequences."""
        cache = transformers.DynamicCache(config=self.model.config)
        if 0 < depth <= DEEPEST_PREFILL:
            self._forward(self.old_ids[:1], cache)
            cache.batch_repeat_interleave(batch)
        elif depth:
            random = torch.Generator().manual_seed(gpt2_weights.SEED)
            shape = (batch, self.sizes["n_head"], depth, self.sizes["n_embd"] // self.sizes["n_head"])
            for i in range(self.sizes["n_layer"]):
                cache.update(*(torch.randn(shape, generator=random).to(self.model.dtype) for _ in "kv"), i)
        return cache


if __name__ == "__main__":
    protocol.serve(Transformers())
