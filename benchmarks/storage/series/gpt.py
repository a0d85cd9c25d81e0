"""A GPT trained from scratch on the standard library's source, byte by byte."""

from __future__ import annotations

import copy
import itertools
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

Weights = dict[str, torch.Tensor]
BYTES = 8 << 20


@dataclass(frozen=True)
class Size:
    """Of a GPT: width of the stream, layers, heads, entries of the vocabulary, tokens of context."""

    width: int
    layers: int
    heads: int
    vocabulary: int = 256
    context: int = 128


SMALL = Size(256, 6, 8)
"""4.8 million weights: 19 MB in float32."""
LARGE = Size(1280, 25, 20, 8192)
"""About 500 million weights: 1 GB in bfloat16."""


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to the stream."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.qkv, self.out = nn.Linear(size.width, 3 * size.width), nn.Linear(size.width, size.width)
        self.up, self.down = nn.Linear(size.width, 4 * size.width), nn.Linear(4 * size.width, size.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) → the same."""
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class GPT(nn.Module):
    """Predicts the next byte."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.tokens = nn.Embedding(size.vocabulary, size.width)
        self.places = nn.Embedding(size.context, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens) → (batch, tokens, vocabulary)."""
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T


@cache
def text() -> torch.Tensor:
    """Source code, as numbers from 0 to 255."""
    joined = bytearray()
    for place in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        joined += place.read_bytes()
    return torch.frombuffer(joined[:BYTES], dtype=torch.uint8).long()


def pieces(batch: int, length: int) -> torch.Tensor:
    """``batch`` random pieces of the text, of ``length`` + 1 tokens."""
    data = text()
    at = torch.randint(0, len(data) - length - 1, (batch,)).tolist()
    return torch.stack([data[i : i + length + 1] for i in at])


def train(model: GPT, optimizer: torch.optim.Optimizer, steps: int, batch: int, length: int) -> None:
    """``steps`` steps on random pieces of the text."""
    for _ in range(steps):
        drawn = pieces(batch, length)
        loss = functional.cross_entropy(model(drawn[:, :-1]).flatten(0, 1).float(), drawn[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@dataclass(frozen=True)
class Plan:
    """Of a training: ``first`` steps at ``early``, then ``steps`` for each version at ``late``."""

    first: int
    steps: int
    early: float
    late: float
    batch: int


FINE = Plan(first=200, steps=40, early=3e-4, late=1e-4, batch=8)
"""The small GPT's."""
SHORT = Plan(first=20, steps=15, early=3e-4, late=1e-4, batch=4)
"""The large one's: a step takes 5 to 10 s on two cores."""


def small(count: int, seed: int) -> Iterator[Weights]:
    """The small GPT in float32."""
    torch.manual_seed(seed)
    model = GPT(SMALL)
    return _versions(model, _begin(model, FINE), FINE, count)


def large(count: int, seed: int) -> Iterator[Weights]:
    """The large GPT, trained in bfloat16 from the first step to the last: no float32 masters; 5 GB of memory."""
    torch.manual_seed(seed)
    model = GPT(LARGE).to(torch.bfloat16)
    return _versions(model, _begin(model, SHORT), SHORT, count)


def branches(length: int, seed: int) -> Iterator[Weights]:
    """One parent, then ``length`` versions that go on from it, then ``length`` others that go on from it too."""
    torch.manual_seed(seed)
    model = GPT(SMALL)
    optimizer = _begin(model, FINE)
    weights, moments = _copy(model), copy.deepcopy(optimizer.state_dict())
    yield weights
    yield from itertools.islice(_versions(model, optimizer, FINE, length + 1), 1, None)
    model.load_state_dict(weights)
    optimizer.load_state_dict(moments)
    yield from itertools.islice(_versions(model, optimizer, FINE, length + 1), 1, None)


def _begin(model: GPT, plan: Plan) -> torch.optim.Optimizer:
    """Train up to the first version; the optimizer is ready for the later ones."""
    # One parameter after the other: the fused ways copy all of them at once.
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.early, foreach=False)
    train(model, optimizer, plan.first, plan.batch, model.places.num_embeddings)
    for group in optimizer.param_groups:
        group["lr"] = plan.late
    return optimizer


def _versions(model: GPT, optimizer: torch.optim.Optimizer, plan: Plan, count: int) -> Iterator[Weights]:
    """The weights as they are, then after every ``plan.steps`` steps."""
    for version in range(count):
        if version:
            train(model, optimizer, plan.steps, plan.batch, model.places.num_embeddings)
        yield _copy(model)


def _copy(model: GPT) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
