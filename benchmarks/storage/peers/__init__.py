"""The tools that are measured beside each other: one file each, all behind ``peer.Peer``."""

from __future__ import annotations

from pathlib import Path

from peers.borg import Borg
from peers.dvc import Dvc
from peers.git_lfs import GitLfs
from peers.lepton import Lepton
from peers.mlflow import MLflow
from peers.oxen import Oxen
from peers.peer import Peer, Step
from peers.restic import Restic
from peers.xet import Xet
from peers.zipnn import ZipNN

__all__ = ["Peer", "Step", "all_peers"]


def all_peers(tools: Path) -> list[Peer]:
    """Every peer; ``tools`` is where install-peers.sh put those that are Python packages."""
    return [
        Lepton("lepton", tools),
        Lepton("lepton, not encrypted", tools, encrypt=False),
        Lepton("lepton, no kernel", tools, kernel=False),
        Lepton("lepton, no kernel, not encrypted", tools, encrypt=False, kernel=False),
        Dvc(tools),
        GitLfs(),
        Oxen(tools),
        Xet(tools),
        ZipNN(tools),
        MLflow("MLflow", tools),
        MLflow("MLflow, file store", tools, database=False),
        Borg(),
        Restic(),
    ]
