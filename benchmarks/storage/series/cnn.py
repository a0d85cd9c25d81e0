"""A small convolutional network, trained from scratch on scikit-learn's digits (1,797 pictures of 8 × 8)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

FIRST = 5
"""Epochs before v1; then every version is one epoch more."""
BATCH = 64


def network() -> nn.Sequential:
    """Three convolutions and two dense layers: 620,000 weights, and the counters of its normalisations."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128 * 16, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


def versions(count: int, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    """The weights after FIRST epochs, then after each further one."""
    from sklearn.datasets import load_digits

    torch.manual_seed(seed)
    digits = load_digits()
    pictures = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for version in range(count):
        for _ in range(1 if version else FIRST):
            for part in torch.randperm(len(labels)).split(BATCH):
                loss = functional.cross_entropy(model(pictures[part]), labels[part])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        yield {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
