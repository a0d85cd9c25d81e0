"""``lepton diff`` and ``lepton tensors history`` as people and scripts use them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai.cli.app import run
from lepton_ai.cli.tensor_history import plot
from tests.cli.conftest import Lepton, Ran
from tests.cli.test_terminal import ESCAPE, on_terminal, plain


def _model(seed: int = 0, *, layers: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"layers.{i}.weight": rng.normal(size=(30, 20)).astype(np.float32) for i in range(layers)} | {
        f"layers.{i}.bias": rng.normal(size=90).astype(np.float32) for i in range(layers)
    }


@pytest.fixture
def lepton(capsys: pytest.CaptureFixture[str]) -> Lepton:
    """Run a command; what it exits with is each test's own matter: a difference is no failure."""

    def command(*arguments: str) -> Ran:
        capsys.readouterr()
        return Ran(run(arguments), *capsys.readouterr())

    return command


@pytest.fixture
def two(lepton: Lepton, here: Path) -> dict[str, np.ndarray]:
    """v1 and v2, of which one layer differs."""
    tensors = _model()
    save_file(tensors, here / "m.safetensors")
    lepton(
        "save", "m.safetensors", "--param", "lr=0.1", "--param", "optimizer=adam", "--metric", "accuracy=0.9"
    )
    tensors["layers.1.weight"] = tensors["layers.1.weight"] * np.float32(1.5)
    tensors["layers.1.bias"] = tensors["layers.1.bias"] + np.float32(1)
    save_file(tensors, here / "m.safetensors")
    lepton(
        "save",
        "m.safetensors",
        "--param",
        "lr=0.05",
        "--param",
        "optimizer=adam",
        "--metric",
        "accuracy=0.95",
    )
    return tensors


class TestDiff:
    def test_what_a_pipe_gets(self, lepton: Lepton, two: object) -> None:
        shown = lepton("diff", "v1", "v2")
        assert (shown.code, shown.err) == (1, "")
        lines = shown.out.splitlines()
        assert lines[:2] == ["main@v1 → main@v2", "Of 4 tensors: 2 changed; 2 identical."]
        assert any(re.match(r"layers\.1\.weight +100 % +50 % ", line) for line in lines)
        assert "layers.0" not in shown.out
        assert "  accuracy:  0.9 → 0.95 (+0.05)" in lines
        assert "  lr:  0.1 → 0.05 (-0.05)" in lines
        assert "optimizer" not in shown.out
        assert "  changed  m.safetensors" in lines
        assert "optimizer" in lepton("diff", "v1", "v2", "--all").out

    def test_nothing_differs(self, lepton: Lepton, two: object) -> None:
        shown = lepton("diff", "v2", "v2")
        assert (shown.code, shown.err) == (0, "")
        assert "These two versions hold identical weights" in shown.out
        assert lepton("diff", "v2", "m.safetensors").code == 0
        assert lepton("diff", "v1", "./m.safetensors").code == 1

    def test_what_machines_get(self, lepton: Lepton, two: object) -> None:
        shown = lepton("diff", "v2", "--json")
        assert shown.code == 1
        told = shown.json
        assert {tensor["name"] for tensor in told["tensors"]} == {"layers.1.weight", "layers.1.bias"}
        weight = next(tensor for tensor in told["tensors"] if tensor["name"] == "layers.1.weight")
        assert (weight["status"], weight["changed_fraction"]) == ("changed", 1.0)
        assert weight["l2_relative"] == pytest.approx(0.5)
        assert weight["cosine"] == pytest.approx(1)
        assert {"max_abs", "l2", "before", "after", "histogram", "introduced_nan"} <= set(weight)
        assert (told["same"], told["same_weights"], told["differs"]) == (2, False, True)
        assert lepton("diff", "v2", "v2", "--json").json["same_weights"]

    def test_only_some_tensors(self, lepton: Lepton, two: object) -> None:
        assert lepton("diff", "v1", "v2", "--tensor", "layers.0.*").code == 0
        shown = lepton("diff", "v1", "v2", "--tensor", "*.bias")
        assert shown.code == 1
        assert "weight" not in shown.out
        assert "accuracy" not in shown.out

    def test_many_tensors_are_shown_as_layers(self, lepton: Lepton, here: Path) -> None:
        for seed in (1, 2):
            save_file(_model(seed, layers=30), here / "m.safetensors")
            lepton("save", "m.safetensors")
        shown = lepton("diff", "v1", "v2").out
        assert "layers.29" in shown
        assert "layers.29.weight" not in shown
        assert "--tensor '*' lists the 60 tensors" in shown
        assert "layers.29.weight" in lepton("diff", "v1", "v2", "--tensor", "*").out

    def test_a_page_is_written_whole_and_over_nothing(self, lepton: Lepton, two: object, here: Path) -> None:
        assert lepton("diff", "v1", "v2", "--html", "d.html").code == 1
        assert (here / "d.html").read_text().startswith("<!doctype html>")
        again = lepton("diff", "v1", "v2", "--html", "d.html", "--json")
        assert (again.code, again.error["kind"]) == (2, "would-overwrite")
        assert lepton("diff", "v1", "v2", "--html", "d.html", "--force").code == 1
        assert lepton("diff", "v1", "v2", "--html", "no/where.html", "--json").error["kind"] == "usage"

    def test_nan_is_called_out_in_red(self, lepton: Lepton, two: dict[str, np.ndarray], here: Path) -> None:
        two["layers.0.bias"][3] = np.nan
        save_file(two, here / "m.safetensors")
        lepton("save", "m.safetensors")
        assert "! main@v3 introduces 1 NaN: layers.0.bias (1 NaN)" in lepton("diff", "v3").out.splitlines()
        shown = on_terminal("diff", "v2", "v3", columns=80)
        assert f"{ESCAPE}1;31m! main@v3 introduces 1 NaN" in shown

    def test_a_terminal_has_80_columns(self, two: object) -> None:
        shown = plain(on_terminal("diff", "v1", "v2", columns=80))
        assert max(map(len, shown.splitlines())) <= 80
        assert "\n  weight " in shown, "below its layer, without its name"

    def test_what_is_wrong_is_one_line(self, lepton: Lepton, two: object) -> None:
        assert lepton("diff", "v1", "--json").error["message"] == "'v1' is the first version of its line"
        assert lepton("diff", "v1", "v9", "--json").error["kind"] == "not-found"
        assert (
            lepton("diff", "v1", "v2", "--sort", "size", "--json")
            .error["hint"]
            .startswith("one of moved, max")
        )

    def test_names_cannot_command_the_terminal(self, lepton: Lepton, here: Path) -> None:
        for value in (1.0, 2.0):
            save_file({"w": np.full(300, value)}, here / "m.safetensors")
            lepton("save", "m.safetensors", "--param", f"k\x1b[0m={value}")
        shown = lepton("diff", "v1", "v2").out
        assert "\x1b" not in shown
        assert "k\\x1b[0m:  1 → 2 (+1)" in shown

    def test_the_same_weights_are_told_when_they_are_saved(self, lepton: Lepton, two: object) -> None:
        saved = lepton("save", "m.safetensors")
        assert (
            "lepton: it holds identical weights to v2: the files are the same, byte for byte\n" in saved.err
        )


class TestHistory:
    def test_a_statistic_version_by_version(self, lepton: Lepton, two: dict[str, np.ndarray]) -> None:
        told = lepton("tensors", "history", "layers.1.weight", "--json").json
        values = [point["value"] for point in told["points"]]
        assert values[1] == pytest.approx(np.linalg.norm(two["layers.1.weight"].astype(float)))
        assert values[1] == pytest.approx(1.5 * values[0])
        assert told["points"][1]["delta"] == pytest.approx(values[1] - values[0])
        assert [point["update"] for point in told["points"]] == [
            {"lr": 0.1, "optimizer": "adam"}, {"lr": 0.05, "optimizer": "adam"},
        ]  # fmt: skip
        moved = lepton("tensors", "history", "layers.1.weight", "--stat", "moved", "--json").json
        assert [point["value"] for point in moved["points"]] == [None, pytest.approx(0.5)]

    def test_an_element_as_a_table_with_a_plot(
        self, lepton: Lepton, two: dict[str, np.ndarray], here: Path
    ) -> None:
        shown = lepton("tensors", "history", "layers.1.weight", "--element", "3,7", "--html", "w.html")
        assert shown.code == 0
        assert shown.out.startswith("[3, 7] of layers.1.weight on main\n")
        assert re.search(r"^v2 .* lr=0.05 optimizer=adam$", shown.out, re.MULTILINE)
        assert f"{two['layers.1.weight'][3, 7]:.6g}" in shown.out
        assert "⠉" in shown.out or "⠤" in shown.out
        assert "<svg" in (here / "w.html").read_text()

    def test_the_list_of_tensors_is_as_before(self, lepton: Lepton, two: object) -> None:
        assert len(lepton("tensors", "v1", "--json").json) == 4
        assert lepton("tensors", "history", "--json").error["kind"] == "not-found"
        lepton("tag", "history", "v2")
        assert len(lepton("tensors", "history", "--json").json) == 4

    @pytest.mark.parametrize(
        ("arguments", "kind"),
        [
            (("history", "layers.1.weigh"), "not-found"),
            (("history", "layers.1.weight", "--element", "99,0"), "usage"),
            (("history", "layers.1.weight", "--element", "x"), "usage"),
            (("history", "layers.1.weight", "--stat", "median"), "usage"),
            (("history", "layers.1.weight", "--stat", "mean", "--element", "0,0"), "usage"),
            (("v1", "layers.1.weight"), "usage"),
            (("v1", "--stat", "mean"), "usage"),
        ],
    )
    def test_what_is_wrong_is_one_line(
        self, lepton: Lepton, two: object, arguments: tuple[str, ...], kind: str
    ) -> None:
        assert lepton("tensors", *arguments, "--json").error["kind"] == kind


def test_long_sections_are_cut_and_one_sided_ones_counted(
    lepton: Lepton, two: dict[str, np.ndarray], here: Path
) -> None:
    many = [text for i in range(30) for text in ("--param", f"p{i}={i}")]
    lepton("save", "m.safetensors", *many)
    lepton("save", "m.safetensors", *(text.replace("=", "=-") for text in many))
    changed = lepton("diff", "v3", "v4").out
    assert "p10:" in changed
    assert "and 9 more: --all lists them" in changed  # p0 stays: -0 is 0
    assert "p29:" in lepton("diff", "v3", "v4", "--all").out
    lepton("save", "m.safetensors")
    gone = lepton("diff", "v4", "v5").out
    assert "30 removed: --all lists them" in gone
    assert "p10:" not in gone


def test_a_plot_needs_two_values_and_leaves_gaps() -> None:
    assert plot(["v1"], [1.0]) == []
    assert plot(["v1", "v2"], [None, 1.0]) == []
    lines = plot(["v1", "v2", "v3"], [5.0, 5.0, None], width=40)
    assert lines[-1].split() == ["v1", "v3"]
    assert max(map(len, lines)) <= 40
