"""A save tells when it holds the very weights of the version before it, and finds that out for next to nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lepton_ai.repository import ModelRepository
from tests.history.diff.models import layers, repo, save

__all__ = ["repo"]


def test_the_same_file_again(repo: ModelRepository) -> None:
    assert save(repo, layers()).notes == ()
    again = save(repo, layers(), metrics={"accuracy": 0.9})
    assert again.notes == ("it holds identical weights to v1: the files are the same, byte for byte",)


def test_the_same_weights_in_another_file(repo: ModelRepository, tmp_path: Path) -> None:
    tensors = layers() | {"tiny": np.arange(3.0)}
    save(repo, tensors)
    save_file(tensors, tmp_path / "other.safetensors", metadata={"epoch": "2"})
    assert repo.save_files(tmp_path / "other.safetensors").notes == (
        "it holds identical weights to v1; the files differ beside them",
    )


def test_a_tiny_tensor_that_differs_is_a_difference(repo: ModelRepository) -> None:
    save(repo, layers() | {"tiny": np.arange(3.0)})
    assert save(repo, layers() | {"tiny": np.arange(3.0) + 1}).notes == ()


def test_other_weights_and_fewer_and_more(repo: ModelRepository) -> None:
    save(repo, layers(0))
    assert save(repo, layers(1)).notes == ()
    some = layers(1)
    del some["layers.2.weight"]
    assert save(repo, some).notes == ()
    assert save(repo, layers(1)).notes == ()


def test_a_new_revision_with_the_same_files(repo: ModelRepository, tmp_path: Path) -> None:
    one = save(repo, layers())
    revised = one.update(tmp_path / "model.safetensors", message="again")
    assert revised.notes == ("it holds identical weights to v1: the files are the same, byte for byte",)
    assert one.update(message="only words").notes == ()
