"""The data, the network and its training: 1,797 pictures of handwritten digits, 8 by 8 pixels, from scikit-learn."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from sklearn.datasets import load_digits

LOW, HIGH = range(5), range(5, 10)
TRAINED = 1200
"""Pictures to train with; the others measure."""


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures and digits to train with, pictures and digits to measure with; always the same ones."""
    pictures, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    x, y = torch.tensor(pictures[order] / 16, dtype=torch.float32), torch.tensor(digits[order])
    return x[:TRAINED], y[:TRAINED], x[TRAINED:], y[TRAINED:]


def network() -> torch.nn.Module:
    """A small classifier; its first weights are always the same."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))


def train(net: torch.nn.Module, classes: range, *, epochs: int, rate: float) -> torch.nn.Module:
    """A copy of ``net``, trained further on the pictures of some digits only."""
    x, y, _, _ = data()
    of_these = torch.isin(y, torch.tensor(list(classes)))
    x, y = x[of_these], y[of_these]
    net = copy.deepcopy(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    shuffle = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=shuffle).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
    return net


def fisher(net: torch.nn.Module, classes: range) -> dict[str, torch.Tensor]:
    """How much the network depends on each weight: the mean squared gradient of its loss on its own digits."""
    x, y, _, _ = data()
    of_these = torch.isin(y, torch.tensor(list(classes)))
    sums = {name: torch.zeros_like(weight) for name, weight in net.named_parameters()}
    for picture, digit in zip(x[of_these], y[of_these], strict=True):
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(picture), digit).backward()
        for name, weight in net.named_parameters():
            sums[name] += weight.grad**2
    return {name: total / int(of_these.sum()) for name, total in sums.items()}


def grams(net: torch.nn.Module, classes: range) -> dict[str, torch.Tensor]:
    """Of each linear layer's inputs, on its own digits, the products with each other, by the name of its weight."""
    x, y, _, _ = data()
    x = x[torch.isin(y, torch.tensor(list(classes)))]
    found = {}
    with torch.no_grad():
        for name, layer in net.named_children():
            if isinstance(layer, torch.nn.Linear):
                found[f"{name}.weight"] = x.T @ x
            x = layer(x)
    return found


def accuracy(state: Mapping[str, torch.Tensor], classes: range = range(10)) -> float:
    """The share of the measured pictures of ``classes`` that a network with this state names rightly."""
    _, _, x, y = data()
    of_these = torch.isin(y, torch.tensor(list(classes)))
    net = network()
    net.load_state_dict(dict(state))
    with torch.no_grad():
        return float((net(x[of_these]).argmax(1) == y[of_these]).float().mean())
