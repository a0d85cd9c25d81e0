"""Asking for a merge method, and telling it what it can be told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lepton_ai.errors import NotFound, Unsupported, UsageError
from lepton_ai.formats.plugins import Plugin
from lepton_ai.history.merges import registry
from lepton_ai.history.merges.contract import Case, Parameter
from lepton_ai.history.merges.linear import METHOD as LINEAR
from lepton_ai.history.merges.parameters import obstacle, settled
from lepton_ai.history.merges.registry import method, names
from lepton_ai.history.merges.take_base import METHOD as TAKE_BASE
from lepton_ai.history.merges.take_ours import METHOD as TAKE_OURS
from lepton_ai.history.merges.take_theirs import METHOD as TAKE_THEIRS
from lepton_ai.testing.merge_cases import Held, case_of, merged


class Told:
    """A stranger's method with one parameter of each sort."""

    name = "told"
    line = "nothing"
    source = ""
    parameters = (
        Parameter("density", "the share that is kept", 0.5, each=True, least=0, most=1),
        Parameter("rounds", "how often", None, least=1),
        Parameter("loud", "aloud", False, switch=True),
    )
    needs_base = True
    models = (2, 3)
    aids = ("fisher",)
    takes = ""

    def objection(self, case: Case) -> str:
        return "never on a Sunday" if case.name == "sunday" else ""

    def prepare(self, case: Case) -> Any:
        return case.models[0].part


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [Plugin("told", f"{__name__}:Told"), Plugin("broken", "no.such.module:METHOD")]
    monkeypatch.setattr(registry, "plugins", lambda group: some if group == "lepton_ai.merges" else [])
    monkeypatch.setattr(registry, "_installed", registry._installed.__wrapped__)


def test_ours_are_installed_like_a_strangers() -> None:
    assert {name: method(name).name for name in names()} == {name: name for name in names()}
    assert {"linear", "take_base", "take_ours", "take_theirs"} <= set(names())


def test_a_dash_counts_as_an_underscore() -> None:
    assert method("Take-Ours") is method("take_ours")


@pytest.mark.usefixtures("installed")
def test_a_strangers_is_found_and_a_broken_one_told() -> None:
    assert names() == ("told", "broken")
    assert method("told") is Told
    with pytest.raises(
        Unsupported, match=r"'broken' \(no.such.module:METHOD\) cannot be used: ModuleNotFound"
    ):
        method("broken")
    with pytest.raises(NotFound, match=r"no merge method 'tize' \(there are told, broken\)"):
        method("tize")


def test_what_is_not_given_is_the_default_for_every_model() -> None:
    assert settled(Told(), {}, 2) == {"density": (0.5, 0.5), "rounds": None, "loud": False}


def test_a_list_holds_one_value_for_each_model() -> None:
    told = settled(Told(), {"density": [0.1, None, 1], "rounds": 3, "loud": True}, 3)
    assert told == {"density": (0.1, 0.5, 1), "rounds": 3, "loud": True}
    assert settled(Told(), {"density": 0.2}, 3)["density"] == (0.2, 0.2, 0.2)


@pytest.mark.parametrize(
    ("given", "models", "complaint"),
    [
        ({}, 1, "told merges at least 2 models; here are 1"),
        ({}, 4, "told merges at most 3 models; here are 4"),
        ({"dense": 1}, 2, r"told has no parameter 'dense' \(it takes density, rounds, loud\)"),
        ({"density": 1.1}, 2, "told: density is between 0 and 1, not 1.1"),
        ({"density": [0.5]}, 2, "told: density has 1 values for 2 models"),
        ({"density": "much"}, 2, "told: density is a number, not 'much'"),
        ({"density": True}, 2, "told: density is a number, not True"),
        ({"density": float("nan")}, 2, "told: density is a number, not nan"),
        ({"rounds": 0}, 2, "told: rounds is at least 1, not 0"),
        ({"rounds": [1, 2]}, 2, r"told: rounds is a number, not \[1, 2\]"),
        ({"loud": 1}, 2, "told: loud is true or false, not 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_plainly(given: dict[str, Any], models: int, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        settled(Told(), given, models)


def test_a_method_that_takes_no_parameter_says_so() -> None:
    with pytest.raises(UsageError, match=r"take_ours has no parameter 'weight' \(it takes none\)"):
        settled(TAKE_OURS, {"weight": 1}, 2)


def test_obstacles_are_known_before_an_element_is_read() -> None:
    class Shut(Held):
        def part(self, start: int, stop: int) -> Any:
            raise AssertionError("read")

    one, other = Shut([1, 2]), Shut([[1], [2]])
    assert obstacle(Told(), Case("w", (one, other), one)) == "its shapes differ: [2, 1] and [2]"
    assert obstacle(Told(), Case("w", (one, one), other)) == "its shapes differ: [2, 1] and [2]"
    assert obstacle(Told(), Case("w", (one, one))) == "told works on differences to a base, and there is none"
    assert obstacle(Told(), Case("sunday", (one, one), one)) == "never on a Sunday"
    assert obstacle(Told(), Case("w", (one, one), one)) == ""


def test_taking_is_told_to_the_engine() -> None:
    assert [one.takes for one in (TAKE_OURS, TAKE_THEIRS, TAKE_BASE, LINEAR)] == [
        "ours",
        "theirs",
        "base",
        "",
    ]
    assert [one.models[0] for one in (TAKE_OURS, TAKE_THEIRS, TAKE_BASE)] == [1, 2, 1]
    assert [one.needs_base for one in (TAKE_OURS, TAKE_THEIRS, TAKE_BASE)] == [False, False, True]


def test_linear_by_hand() -> None:
    assert merged(LINEAR, [1, 2], [3, 6]) == [2, 4]
    assert merged(LINEAR, [1, 2], [3, 6], weight=[1, 3]) == [2.5, 5]
    assert merged(LINEAR, [1, 2], [3, 6], weight=[1, 3], normalize=False) == [10, 20]
    assert merged(LINEAR, [[1, 2]], [[3, 6]], [[5, 1]], weight=[1, -1, 1]) == [[3, -3]]
    assert merged(LINEAR, 4.0, 8.0) == 6
    assert merged(LINEAR, [], []) == []


def test_linear_with_weights_that_cancel_out_cannot_be_normalised() -> None:
    case = case_of(LINEAR, [[1.0], [2.0]], weight=[1, -1])
    assert "add up to 0" in obstacle(LINEAR, case)
    assert merged(LINEAR, [1.0], [3.0], weight=[1, -1], normalize=False) == [-2]


def test_what_all_agree_in_stays_as_it_is() -> None:
    same = np.array([0.1, -0.0, np.nan, np.inf, 1e-42], np.float32)
    result = LINEAR.prepare(case_of(LINEAR, [same, same, same], weight=[0.3, 0.5, 0.9]))(0, 5)
    assert result.view("u4").tolist() == same.view("u4").tolist()
