"""What every adapter of a framework promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.errors import Unsupported
from lepton_ai.formats.frameworks import Framework, Saved, framework_of, load, save


@dataclass(frozen=True)
class Example:
    """A live model, how to save it, and how to tell that what comes back is the same."""

    model: object
    same: Callable[[Any], bool]
    format: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def files_in(folder: Path) -> list[str]:
    """Every file below ``folder``, as a version lists them."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def names(saved: Saved) -> list[str]:
    """The names of what saving wrote."""
    return sorted(path.name for path in saved.paths)


def there_and_back(
    model: object,
    folder: Path,
    format: str | None = None,  # noqa: A002  (the public keyword)
    *,
    trust: bool = False,
    **options: Any,
) -> tuple[Saved, Any]:
    """Save as ``model_v1``, move the files, load them, delete them: nothing may depend on where they were."""
    written = folder / "written"
    written.mkdir(parents=True)
    saved = save(model, written, "model_v1", format, **options)
    assert saved.paths
    assert all(path.parent == written and path.name.startswith("model_v1") for path in saved.paths)
    top = {path.name for path in written.iterdir()}
    assert top == {path.name for path in saved.paths}, (
        "it says of every file that it wrote it, and of no other"
    )
    moved = written.rename(folder / "moved")
    return saved, load(moved, files_in(moved), trust=trust)


class FrameworkSuite:
    """Subclass it, and define the fixtures ``framework`` (a Framework) and ``examples`` (a list of Example)."""

    def test_owns_its_own_and_nothing_else(self, framework: Framework, examples: list[Example]) -> None:
        """Among all that are installed, this one is found for its models."""
        for example in examples:
            assert framework.owns(example.model)
            assert framework_of(example.model).name == framework.name
        for other in (None, 1, "text", [], {}, object(), object):
            assert not framework.owns(other)

    def test_comes_back_the_same(self, framework: Framework, examples: list[Example], tmp_path: Path) -> None:
        """Save and load, without the files staying where they were."""
        for number, example in enumerate(examples):
            folder = tmp_path / str(number)
            saved, back = there_and_back(example.model, folder, example.format, trust=True, **example.options)
            assert saved.format in framework.formats()
            assert example.same(back), f"{framework.name} {example.format}"

    def test_unknown_format_lists_the_accepted_ones(
        self, framework: Framework, examples: list[Example], tmp_path: Path
    ) -> None:
        """One plain error, and nothing is written."""
        for example in examples:
            with pytest.raises(Unsupported, match="'nonsense'") as refusal:
                save(example.model, tmp_path, "m", "nonsense")
            assert (refusal.value.hint or "").startswith("format= takes ")
            assert any(known in (refusal.value.hint or "") for known in framework.formats())
        assert files_in(tmp_path) == []

    def test_finds_nothing_in_a_folder_of_other_files(self, framework: Framework, tmp_path: Path) -> None:
        """Texts, tables and configurations beside a model are not taken for one."""
        for name in ("README.md", "config.json", "vocab.txt", "data.csv", "weights.bin", "a.zip", "b.json"):
            (tmp_path / name).write_bytes(b'{"hello": "world"}')
        assert framework.finds(tmp_path, files_in(tmp_path)) == []
