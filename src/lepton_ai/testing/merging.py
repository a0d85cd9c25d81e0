"""What merging promises for every format: the tensors that one side changed, and those that the other did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lepton_ai.formats.contract import BytesSource, Format, Source
from lepton_ai.repository import ModelRepository
from lepton_ai.testing.formats import Array, Sample
from lepton_ai.testing.splicing import Spliced, SpliceSuite, same, some, whole


class MergeSuite(SpliceSuite):
    """As :class:`SpliceSuite`: the same fixtures, and through a real repository."""

    def test_disjoint_changes_come_together(
        self, reader: Format, samples: list[Sample], tmp_path: Path
    ) -> None:
        """Bit for bit, from both sides the same, in the format of the file, as the framework loads it.

        All samples are merged at once, as the files of one version: a repository for each would cost seconds.
        """
        cases = [
            case for number, sample in enumerate(samples) if (case := self._case(reader, sample, number))
        ]
        assert cases or not samples
        for turn, chosen in enumerate((cases, [case.turned() for case in cases[:2]])):
            base, ours, theirs = (_together([case.files[side] for case in chosen]) for side in range(3))
            merged = _merged(base, ours, theirs, tmp_path / str(turn)) if chosen else {}
            for number, case in enumerate(chosen):
                paths = [(path, f"{number}/{path}") for path in case.files[0]]
                found: dict[str, Source] = {path: BytesSource(merged[place]) for path, place in paths}
                same(case.made.read(found), case.wanted, case.made.main)
                self._ask(case.made.main, found, tmp_path / f"asked-{turn}-{number}", case.wanted)

    def _case(self, reader: Format, sample: Sample, number: int) -> _Case | None:
        """A sample of which both sides change other tensors, of a single one one side; None where there are none."""
        made, rng = Spliced(reader, sample), np.random.default_rng(number)
        news = some(made, rng, 1.0, self.may_change)
        groups = [group for group in made.replaceable() if group[0] in news and made.arrays[group[0]].size]
        if not groups:
            return None
        parts = groups[number % 2 :: 2], groups[1 - number % 2 :: 2]
        ours, theirs = ({name: news[name] for group in part for name in group} for part in parts)
        sides = [{path: whole(s) for path, s in made.splice(part).items()} for part in (ours, theirs)]
        return _Case(made, (sample.files, *sides), {**made.arrays, **ours, **theirs})


class _Case(NamedTuple):
    """A sample: its files at the base, on our side, on theirs; and the arrays that the merge must have."""

    made: Spliced
    files: tuple[Mapping[str, bytes], ...]
    wanted: Mapping[str, Array]

    def turned(self) -> _Case:
        """The sides exchanged."""
        base, ours, theirs = self.files
        return self._replace(files=(base, theirs, ours))


def _together(folders: Sequence[Mapping[str, bytes]]) -> dict[str, bytes]:
    """The files of all samples, each in a folder of its own: one repository and one merge serve them all."""
    return {f"{number}/{path}": data for number, files in enumerate(folders) for path, data in files.items()}


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
