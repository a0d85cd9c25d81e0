"""Sources that somebody made on purpose: what they say is data, and leads nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lepton_ai.incoming.dvc.cache import Cache
from lepton_ai.incoming.git.commits import refs
from lepton_ai.incoming.git.objects import Objects


def test_a_checksum_that_is_a_path_names_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('[{"relpath": "a", "md5": "b"}]')
    (tmp_path / "cache" / "ab").mkdir(parents=True)
    cache = Cache([], [tmp_path / "cache"])
    for md5 in (f"ab{secret}", "ab../../secret.json", "..", "", "ab"):
        assert cache.find(md5) is None
        assert cache.listing(md5) is None
    sound = "ab" + "0" * 30
    (tmp_path / "cache" / "ab" / sound[2:]).write_text("x")
    assert cache.find(sound) == tmp_path / "cache" / "ab" / sound[2:]


@pytest.mark.parametrize("ending", ["\u2028", "\x0b", "\x85", "\x1c"])
def test_a_tag_whose_subject_has_other_ends_of_lines(ending: str, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("tag", "-a", "paper", "-m", f"one{ending}two")
    objects = Objects(tmp_path)
    try:
        (tag,) = refs(objects).tags
    finally:
        objects.close()
    assert (tag.name, tag.message.startswith("one")) == ("paper", True)
