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


class TestNames:
    @pytest.fixture
    def world(self) -> World:
        return World()

    def test_automatic_names_count_up(self, world: World) -> None:
        assert [world.save().name for _ in range(3)] == ["v1", "v2", "v3"]

    def test_given_names_stand_beside(self, world: World) -> None:
        world.save(name="2026-11-20-10-30")
        assert world.save().name == "v1"
        world.save(name="v7")
        assert world.save().name == "v8"

    @pytest.mark.parametrize(
        "name", ["", "a b", "deadbeef", "0123456", "-x", ".x", "a/b", "v1~2", "a@b", "x" * 129, "a..b"]
    )
    def test_bad_names_are_refused(self, world: World, name: str) -> None:
        with pytest.raises(errors.InvalidName):
            world.save(name=name)

    def test_names_are_unique_on_a_branch(self, world: World) -> None:
        world.save(name="a")
        with pytest.raises(errors.AlreadyExists):
            world.save(name="a")

    def test_inherited_names_are_taken(self, world: World) -> None:
        world.save(name="a")
        world.branch("side", "a")
        with pytest.raises(errors.AlreadyExists):
            world.save("side", name="a")

    def test_two_branches_may_both_have_v2(self, world: World) -> None:
        world.save(content=1)
        world.branch("side", "v1")
        world.save("side", 2)
        world.save("main", 3)
        assert world.content("main@v2") == 3
        assert world.content("side@v2") == 2
        assert world.content("v2", "side") == 2

    def test_a_number_is_never_used_again(self, world: World) -> None:
        world.save()
        world.save()
        world.delete("v2")
        assert world.save().name == "v3"

    def test_a_branch_from_an_older_version_counts_on_from_there(self, world: World) -> None:
        for _ in range(4):
            world.save()
        world.branch("side", "v2")
        assert world.save("side").name == "v3"

    def test_the_order_of_addresses(self, world: World) -> None:
        world.save(content=1, name="x")
        world.save(content=2)
        world.label("tag", "x", "v1")
        world.label("tag", "t", "v1")
        world.label("alias", "a", "x")
        assert [world.content(address) for address in ("x", "t", "a")] == [1, 2, 1]

    def test_an_id_prefix_addresses_a_revision(self, world: World) -> None:
        row = world.save(content=5)
        assert world.content(row.id.hex()[:8]) == 5
        assert world.content(row.id.hex()) == 5
        with pytest.raises(errors.NotFound):
            world.find("ffffffffffff")

    def test_a_branch_name_means_its_newest(self, world: World) -> None:
        world.save(content=1)
        world.branch("side", "v1")
        world.save("side", 2)
        assert world.content("side") == 2

    @pytest.mark.parametrize("address", ["", "@v1", "v1~0", "v1~x", "~1"])
    def test_what_is_no_address(self, world: World, address: str) -> None:
        with pytest.raises(errors.InvalidName):
            world.find(address)


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
