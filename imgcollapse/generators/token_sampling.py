"""From logits to a token: temperature, top-k and top-p."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def probabilities(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """What the next token is drawn from.

    First the logits are divided by the temperature, then all but the `top_k` likeliest tokens are
    left out (Fan et al. 2018), then all but the smallest set of the likeliest of them that together
    have at least `top_p` (nucleus sampling, Holtzman et al. 2020). Of tokens that are equally
    likely the one with the lower number goes first.

    Args:
        logits: float[B, V].
        temperature: 0 takes the likeliest token.
        top_k: at least 1; None leaves none out.
        top_p: in (0, 1].

    Returns:
        float64[B, V], rows that sum to 1.
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
    """Draw a token of each row by inverting the distribution function.

    Args:
        shares: float64[B, V].
        luck: float64[B] in [0, 1).

    Returns:
        int64[B]; a token without a share is never drawn. Where shares are no numbers, any token.
    """
    rising = shares.cumsum(1)
    tokens = torch.searchsorted(rising, luck[:, None] * rising[:, -1:], right=True)[:, 0]
    return tokens.clamp(max=shares.shape[1] - 1)
