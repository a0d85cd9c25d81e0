"""Reinforcement learning in bfloat16: float32 master weights, tiny steps, so few bfloat16 weights change at a time.

The policy is a GPT that has learned to predict source code. At every place of a text it draws the next byte; the
reward is 1 when that byte is the true one. REINFORCE with the batch's mean as baseline, AdamW with a tiny rate: the
masters move by less than half a bfloat16 step, so about one saved weight in a hundred differs from the version before.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from series import gpt

SIZE = gpt.Size(512, 8, 8)
"""25 million weights: 51 MB in bfloat16."""
RATE = 3e-7
"""1e-6 changes 3 % of the saved weights at a step, because this model's weights are small (σ = 0.02)."""
WARM = 10
"""Policy steps before v1: the optimizer's moments are settled then."""
STEPS = 1
BATCH = 8


def versions(count: int, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    """The policy in bfloat16 every STEPS steps."""
    torch.manual_seed(seed)
    model = gpt.GPT(SIZE)
    gpt.train(model, torch.optim.AdamW(model.parameters(), lr=3e-4), 80, BATCH, SIZE.context)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    for version in range(count):
        for _ in range(STEPS if version else WARM):
            _step(model, optimizer)
        yield {name: tensor.detach().to(torch.bfloat16) for name, tensor in model.state_dict().items()}


def _step(model: gpt.GPT, optimizer: torch.optim.Optimizer) -> None:
    pieces = gpt.pieces(BATCH, SIZE.context)
    chances = torch.distributions.Categorical(logits=model(pieces[:, :-1]))
    drawn = chances.sample()
    reward = (drawn == pieces[:, 1:]).float()
    loss = -((reward - reward.mean()) * chances.log_prob(drawn)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
