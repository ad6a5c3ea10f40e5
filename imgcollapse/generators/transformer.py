"""A decoder-only transformer, its key-value cache, and sampling of tokens from its logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KVCache:
    """Keys and values of what one block has read: the key-value cache."""

    def __init__(self, room: int) -> None:
        """The network reads at most `room` tokens."""
        self.room, self.length = room, 0
        self.keys = self.values = torch.empty(0)

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take in one more token, [B, heads, 1, d] each => those of all tokens so far."""
        if not self.length:
            batch, heads, _, features = keys.shape
            self.keys = keys.new_empty(batch, heads, self.room, features)
            self.values = torch.empty_like(self.keys)
        self.keys[:, :, self.length] = keys[:, :, 0]
        self.values[:, :, self.length] = values[:, :, 0]
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class Block(nn.Module):
    """Attention to what came before, then a layer for each token alone; both normed first.

    Pre-norm (Xiong et al. 2020) as in GPT-2 (Radford et al. 2019), without dropout.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked = nn.Linear(width, 3 * width)
        self.answered = nn.Linear(width, width)
        wide = 4 * width
        self.mlp = nn.Sequential(nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, width))

    def forward(self, x: Tensor, past: KVCache | None = None) -> Tensor:
        """[B, T, width] => the same; with a `past`, T is 1 and follows all that is in it."""
        asked = self.asked(self.attention_norm(x)).unflatten(2, (3, self.heads, -1))
        queries, keys, values = asked.permute(2, 0, 3, 1, 4)
        if past is not None:
            keys, values = past.extend(keys, values)
        found = F.scaled_dot_product_attention(queries, keys, values, is_causal=past is None)
        x = x + self.answered(found.transpose(1, 2).flatten(2))
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """Logits of each of V different tokens given those before it in a text of `length`.

    Positions are learned; the vectors that tokens are read by are also what logits are taken with
    (Press & Wolf 2017). Weights start as GPT-2's do. A text may begin with any of `starts`.
    """

    def __init__(
        self, vocabulary: int, length: int, starts: int, width: int, layers: int, heads: int
    ) -> None:
        super().__init__()
        self.length = length
        self.starts = nn.Embedding(starts, width)
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            elif "norm" not in name:
                residual = name.endswith(("answered.weight", "mlp.2.weight"))
                nn.init.normal_(weight, std=0.02 / ((2 * layers) ** 0.5 if residual else 1))

    def forward(self, starts: Tensor, tokens: Tensor) -> Tensor:
        """Logits of whole texts at once: int64[B] starts and int64[B, T] tokens => float32[B, T,
        V].

        Row t depends on the start and the tokens before t alone.
        """
        x = torch.cat([self.starts(starts)[:, None], self.tokens(tokens[:, :-1])], dim=1)
        x = x + self.positions.weight
        for block in self.blocks:
            x = block(x)
        return self._logits(x)

    def begin(self) -> list[KVCache]:
        """An empty past for each block."""
        return [KVCache(self.length) for _ in self.blocks]

    def read(self, past: list[KVCache], given: Tensor) -> Tensor:
        """Logits of the next token, float32[B, V], after one more, `given`: int64[B].

        That is the start if nothing has been read. `past` grows by it.
        """
        at = past[0].length
        x = self.tokens(given) if at else self.starts(given)
        x = (x + self.positions.weight[at])[:, None]
        for block, before in zip(self.blocks, past, strict=True):
            x = block(x, before)
        return self._logits(x)[:, 0]

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.tokens.weight).float()


def probabilities(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """Returns the distribution that the next token is drawn from: float[B, V] => float64[B, V].

    First the logits are divided by the temperature, then all but the `top_k` likeliest tokens are
    left out (Fan et al. 2018), then all but the smallest set of the likeliest of them that together
    have at least `top_p` (nucleus sampling, Holtzman et al. 2020). Of tokens that are equally
    likely the one with the lower number goes first. A temperature of 0 takes the likeliest token.
    """
    if temperature == 0:
        return F.one_hot(logits.argmax(1), logits.shape[1]).double()
    scaled = logits.double() / temperature
    if top_k is None and top_p == 1:
        return scaled.softmax(1)
    ranked, order = scaled.sort(dim=1, descending=True, stable=True)
    shares = ranked[:, :top_k].softmax(1)
    before = F.pad(shares.cumsum(1)[:, :-1], (1, 0))
    shares = shares.where(before < top_p, 0.0)
    kept = shares / shares.sum(1, keepdim=True)
    return torch.zeros_like(scaled).scatter(1, order[:, :top_k], kept)


def sample_token(shares: Tensor, luck: Tensor) -> Tensor:
    """Draws a token of each row of float64[B, V] shares by inverting the distribution function:
    int64[B].

    A token without a share is never drawn; where shares are not finite, any token. The luck is
    float64[B], uniform in [0, 1).
    """
    rising = shares.cumsum(1)
    tokens = torch.searchsorted(rising, luck[:, None] * rising[:, -1:], right=True)[:, 0]
    return tokens.clamp(max=shares.shape[1] - 1)
