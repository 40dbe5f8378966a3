"""GPT-2 with the names and the layout of Hugging Face's (Conv1D weights are [in, out]).

Shapes: B rows, T positions, C = n_embd, H heads of D.  Attention is one replaceable function, so
that the evaluation can window it or round its keys and values.  In training some heads are
guided: a loss asks them to look at given positions.  The trained model is a plain GPT-2.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def causal(q, k, v):  # all [B, H, T, D]
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def guided_heads(layers):
    """(layer, head) of the four guides: owner, recalled, name, facts."""
    return [(0, 0), (layers - 2, 0), (layers - 2, 1), (layers - 2, 2)]


def guide_loss(q, k, query, keys):
    """Mean of -log(attention mass on the wanted keys).

    q, k [B, T, D] of one head; query [B, R]; keys [B, R, K], T where there is none."""
    B, T, D = k.shape
    q = q.gather(1, query[..., None].expand(-1, -1, D))
    scores = (q @ k.transpose(1, 2)).float() / math.sqrt(D)  # [B, R, T]
    scores = scores.masked_fill(torch.arange(T) > query[..., None], -1e9)
    padded = F.pad(scores, (0, 1), value=-1e9)  # the column of "none"
    wanted = padded.gather(2, keys)  # [B, R, K]
    valid = (keys[..., 0] < T).float()
    loss = scores.logsumexp(-1) - wanted.logsumexp(-1)
    return (loss * valid).sum() / valid.sum().clamp_min(1)


class Conv1D(nn.Module):
    def __init__(self, inputs, outputs, std):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * std)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return F.linear(x, self.weight.t(), self.bias)


class Attention(nn.Module):
    def __init__(self, C, heads, layers):
        super().__init__()
        self.heads = heads
        self.c_attn = Conv1D(C, 3 * C, 0.02)
        self.c_proj = Conv1D(C, C, 0.02 / math.sqrt(2 * layers))

    def forward(self, x, attend, guides):
        B, T, C = x.shape
        split = lambda z: z.view(B, T, self.heads, C // self.heads).transpose(1, 2)  # [B, H, T, D]
        q, k, v = (split(z) for z in self.c_attn(x).split(C, 2))
        losses = [guide_loss(q[:, head], k[:, head], *guide) for head, guide in guides]
        return self.c_proj(attend(q, k, v).transpose(1, 2).reshape(B, T, C)), losses


class Mlp(nn.Module):
    def __init__(self, C, layers):
        super().__init__()
        self.c_fc = Conv1D(C, 4 * C, 0.02)
        self.c_proj = Conv1D(4 * C, C, 0.02 / math.sqrt(2 * layers))

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))  # "gelu_new"


class Block(nn.Module):
    def __init__(self, C, heads, layers):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.attn = Attention(C, heads, layers)
        self.mlp = Mlp(C, layers)

    def forward(self, x, attend, guides):
        y, losses = self.attn(self.ln_1(x), attend, guides)
        x = x + y
        return x + self.mlp(self.ln_2(x)), losses


class Gpt2(nn.Module):
    def __init__(self, vocab_size, C=192, heads=6, layers=4, positions=1024):
        super().__init__()
        self.size = dict(vocab_size=vocab_size, C=C, heads=heads, layers=layers, positions=positions)
        self.wte, self.wpe = nn.Embedding(vocab_size, C), nn.Embedding(positions, C)
        nn.init.normal_(self.wte.weight, std=0.05)
        # Positions start as small sinusoids: neighbours are then linearly related everywhere.
        angle = torch.arange(positions)[:, None] * torch.exp(-torch.arange(0, C, 2) / C * math.log(2000.0))
        with torch.no_grad():
            self.wpe.weight.copy_(torch.stack([angle.sin(), angle.cos()], 2).flatten(1) * 0.1)
        self.h = nn.ModuleList(Block(C, heads, layers) for _ in range(layers))
        self.ln_f = nn.LayerNorm(C)

    def forward(self, ids, offset=0, attend=causal, guides=()):
        """ids [B, T] -> logits [B, T, V], or with guides also their losses.

        offset: where the rows start, an integer or [B, 1]; guides: (query, keys) in guided_heads' order"""
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]) + offset)
        heads, losses = guided_heads(len(self.h)), []
        for layer, block in enumerate(self.h):
            mine = [(head, guide) for (at, head), guide in zip(heads, guides) if at == layer]
            x, more = block(x, attend, mine)
            losses += more
        logits = F.linear(self.ln_f(x), self.wte.weight)  # the head is the token table
        return (logits, losses) if guides else logits

    def tensors(self):
        """Hugging Face names -> f32 tensors."""
        return {"transformer." + k: v.detach().float().contiguous() for k, v in self.state_dict().items()}
