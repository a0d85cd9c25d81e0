"""What merging promises for every format: the tensors that one side changed, and those that the other did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lepton_ai.formats.contract import BytesSource, Format, Source
from lepton_ai.repository import ModelRepository
from lepton_ai.testing.formats import Sample
from lepton_ai.testing.splicing import Spliced, SpliceSuite, same, some, whole


class MergeSuite(SpliceSuite):
    """As :class:`SpliceSuite`: the same fixtures, and through a real repository."""

    def test_disjoint_changes_come_together(
        self, reader: Format, samples: list[Sample], tmp_path: Path
    ) -> None:
        """Bit for bit, from both sides the same, in the format of the file, as the framework loads it."""
        for number, sample in enumerate(samples):
            made, rng = Spliced(reader, sample), np.random.default_rng(number)
            news = some(made, rng, 1.0, self.may_change)
            groups = [
                group for group in made.replaceable() if group[0] in news and made.arrays[group[0]].size
            ]
            ours, theirs = ({n: news[n] for g in part for n in g} for part in (groups[::2], groups[1::2]))
            if not theirs:
                continue
            wanted = {**made.arrays, **ours, **theirs}
            sides = [{path: whole(s) for path, s in made.splice(part).items()} for part in (ours, theirs)]
            turns = (sides, sides[::-1]) if number == 0 else (sides,)
            for turn, (one, other) in enumerate(turns):
                folder = tmp_path / f"{number}-{turn}"
                merged = _merged(sample.files, one, other, folder)
                found: dict[str, Source] = {path: BytesSource(data) for path, data in merged.items()}
                same(made.read(found), wanted, sample.main)
                self._ask(sample.main, found, folder / "asked", wanted)


def _merged(
    base: Mapping[str, bytes], ours: Mapping[str, bytes], theirs: Mapping[str, bytes], folder: Path
) -> dict[str, bytes]:
    """Files that are saved, changed on two branches, merged and checked out again; and merged once more."""
    with ModelRepository(folder / "repository", encrypt=False, author="anna") as repository:
        for branch, files in (("main", base), ("side", theirs), ("main", ours)):
            if branch == "side":
                repository.create_branch("side")
            for path, data in files.items():
                place = folder / "saved" / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
            repository.save_files(folder / "saved", branch)
        version = repository.merge_branch("side")
        assert version is not None
        assert len(version.parents) == 2
        assert repository.replay_merge(version)
        version.checkout(folder / "merged")
        assert repository.verify().clean
    return {path: (folder / "merged" / path).read_bytes() for path in base}
