"""One name means one thing: on a branch, and among branches, tags and aliases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from lepton_ai import errors
from lepton_ai.history import states
from lepton_ai.history.changes import branches, labels
from lepton_ai.history.refs.contract import Commit

from .worlds import World


@pytest.fixture
def world() -> World:
    world = World()
    world.save(content=1)
    world.save(content=2)
    return world


class TestNumbers:
    @pytest.mark.parametrize("name", ["v1000000000000000", "v999999999999999999", "v" + "9" * 60])
    def test_one_that_nobody_counts_to_is_refused(self, world: World, name: str) -> None:
        with pytest.raises(errors.InvalidName, match="too high"):
            world.save(name=name)

    def test_counting_goes_on_behind_the_highest_that_may_be_given(self, world: World) -> None:
        world.save(name="v999999999999999")
        assert [world.save().name for _ in range(3)] == [f"v100000000000000{n}" for n in range(3)]
        assert len({world.find(f"v100000000000000{n}").row.id for n in range(3)}) == 3

    def test_a_branch_that_counted_too_far_before_uses_no_name_twice(self, world: World) -> None:
        branch = world.lines.branch("main")
        far = states.set_(branch.ref.key, branch.ref, replace(branch.state, high=10**18 - 1))
        world.history.commit(Commit("test", "as before such names were refused", moves=(far,)))
        assert len({world.save().name for _ in range(3)}) == 3


def _branch(world: World) -> object:
    return world.branch("dev", "v1")


def _renamed(world: World) -> object:
    world.branch("other", "v1")
    return world.rename("other", "dev")


def _tag(world: World) -> None:
    world.label("tag", "dev", "v1")


def _alias(world: World) -> None:
    world.label("alias", "dev", "v1")


TAKING = [_branch, _renamed, _tag, _alias]


class TestOneNameForOneThing:
    @pytest.mark.parametrize("first", TAKING)
    @pytest.mark.parametrize("second", TAKING)
    def test_a_name_is_taken_once(
        self, world: World, first: Callable[[World], object], second: Callable[[World], object]
    ) -> None:
        first(world)
        before = world.find("dev").row.id
        if first is _alias and second is _alias:
            second(world)  # an alias moves
        else:
            with pytest.raises(errors.AlreadyExists):
                second(world)
        assert world.find("dev").row.id == before

    def test_the_main_branch_has_its_name_too(self, world: World) -> None:
        with pytest.raises(errors.AlreadyExists, match="there is a branch 'main' already"):
            world.label("alias", "main", "v1")

    @pytest.mark.parametrize("take", [_tag, _alias])
    def test_a_deleted_branch_whose_name_is_taken_stays_deleted(
        self, world: World, take: Callable[[World], object]
    ) -> None:
        world.branch("dev", "v1")
        world.delete_branch("dev")
        take(world)
        with pytest.raises(errors.AlreadyExists, match="one name must not mean two things"):
            world.restore_branch("dev")

    @pytest.mark.parametrize("kind", ["tag", "alias"])
    def test_a_label_is_not_called_like_the_versions(self, world: World, kind: labels.Kind) -> None:
        with pytest.raises(errors.InvalidName, match="is what a version is called"):
            world.label(kind, "v7", "v1")
        world.label(kind, "v1.0", "v1")

    def test_a_label_loses_to_a_branch_of_its_name(self, world: World) -> None:
        computed = labels.put(world.lines, "tag", "dev", world.find("v1"), world.act())
        world.branch("dev", "v2")
        _lost(world, computed.commit)

    def test_a_branch_loses_to_a_label_of_its_name(self, world: World) -> None:
        made = branches.create(world.lines, "dev", world.act())
        world.branch("other")
        renamed = branches.rename(world.lines, "other", "dev", world.act())
        world.label("alias", "dev", "v2")
        _lost(world, made.commit)
        _lost(world, renamed.commit)

    def test_the_return_of_a_branch_loses_to_a_label_of_its_name(self, world: World) -> None:
        world.branch("dev")
        world.delete_branch("dev")
        computed = branches.restore(world.lines, "dev", world.act())
        world.label("tag", "dev", "v2")
        _lost(world, computed.commit)

    def test_a_branch_without_a_version_says_so(self, world: World) -> None:
        world.branch("dev")
        with pytest.raises(errors.NotFound, match="branch 'dev' has no version yet"):
            world.find("dev")


def _lost(world: World, computed: Commit | None) -> None:
    assert computed is not None
    with pytest.raises(errors.LostRace):
        world.history.commit(computed)
