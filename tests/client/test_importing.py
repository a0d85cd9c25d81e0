"""An import and a server: straight into it, or pushed; what is there already is known wherever it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai import ModelRepository
from lepton_ai.client import login
from lepton_ai.incoming.recognising import open_source
from lepton_ai.incoming.taking import bring
from tests.client.conftest import PASSWORD, Server
from tests.incoming.unpacked import unpack


def test_imported_pushed_and_imported_again_there(
    running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    login.by_password(running.address, "ana", PASSWORD)
    url = f"{running.address}/ana/digits"
    dvc, lfs = (
        str(unpack(name, tmp_path) / folder) for name, folder in (("dvc", "project"), ("git-lfs", "model"))
    )
    with ModelRepository(tmp_path / "ours", author="bo") as ours:
        bring(ours, open_source(dvc))
        ours.add_remote("origin", url)
        ours.push(branches=ours.branches())
        newest = ours.version("main")
    with ModelRepository(url) as far:
        assert far.version("main").id == newest.id
        again = bring(far, open_source(dvc))
        assert again.taken == []
        assert again.known == 6, "the records say so, which travel"
        straight = bring(far, open_source(lfs), "lfs")
        assert [taken.branch for taken in straight.taken] == ["lfs", "lfs", "fp16", "lfs"]
        head = far.branch("lfs").head
        assert head is not None
        assert (head.author, head.created_at[:10]) == ("Anna Müller <anna@example.com>", "2023-11-15")
        assert head.operation.origin is not None
        assert head.operation.origin.kind == "git-lfs"
        assert far.verify().clean
