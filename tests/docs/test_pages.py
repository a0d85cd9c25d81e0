"""What the documentation shows runs, and what it points at is there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lepton_ai
from tests.docs.pages import LANGUAGES, PAGES, ROOT, blocks, name

RUNNABLE = [page for page in PAGES if any(block.language in {"python", "console"} for block in blocks(page))]
FOR_HANDLES = {"reader", "living", "open_draft", "fill_draft", "take"}
"""What a repository does for its branches, drafts and versions, and nobody else needs."""
SOURCES = sorted((ROOT / "src").rglob("*.py"))


@pytest.mark.frameworks
@pytest.mark.parametrize("page", RUNNABLE, ids=name)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    log = tmp_path.parent / f"{tmp_path.name}.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.run_page", str(page)],
            cwd=tmp_path,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = running.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):  # a page that fails midway may leave a server behind
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert code == 0, log.read_text(encoding="utf-8", errors="replace")[-6000:]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{name(page)}:{block.line}"
        if block.language == "json":
            json.loads(block.code)
        if block.language == "toml":
            tomllib.loads(block.code)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_into_the_checkout_leads_somewhere(page: Path) -> None:
    text = re.sub(r"(`{3,}|~{3,}).*?\n\s*\1", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text):
        link = target[0] or target[1]
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), f"{name(page)} points at {link}"
        if anchor:
            assert anchor in _anchors(place), f"{name(page)} points at {link}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_both_readmes_show_the_same_code() -> None:
    english, chinese = (
        [(block.language, _without_comments(block.code)) for block in blocks(ROOT / page)]
        for page in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese


def _without_comments(code: str) -> str:
    return re.sub(r"\s*#.*", "", code)


def test_the_configuration_page_knows_every_variable() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    prefixed = re.compile(r"LEPTON_AI_[A-Z_]+[A-Z]")
    used = {found for path in SOURCES for found in prefixed.findall(path.read_text(encoding="utf-8"))}
    settings = (ROOT / "src" / "lepton_ai" / "settings.py").read_text(encoding="utf-8")
    used |= {f"LEPTON_AI_{found}" for found in re.findall(r'get\("([A-Z_]+)"\)', settings)}
    assert used
    assert [variable for variable in sorted(used) if f"`{variable}`" not in page] == []


def test_the_api_page_knows_every_export() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [
        export for export in lepton_ai.__all__ if not re.search(rf"`(lepton_ai\.)?{export}\b", page)
    ] == []


@pytest.mark.parametrize("kind", ["ModelRepository", "Branch", "Version", "Draft"])
def test_the_api_page_knows_every_verb(kind: str) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    verbs = {verb for verb in vars(getattr(lepton_ai, kind)) if not verb.startswith("_")} - FOR_HANDLES
    assert [verb for verb in sorted(verbs) if not re.search(rf"\b{verb}\b", page)] == []
