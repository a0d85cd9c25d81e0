"""DESIGN §4, sentence by sentence (names: test_names): revisions, branches, tombstones, labels."""

from __future__ import annotations

import pytest

from lepton_ai import errors
from lepton_ai.history import listing
from lepton_ai.history.changes import branches, deletion

from .worlds import World


@pytest.fixture
def world() -> World:
    return World()


def names(world: World, branch: str | None = None, **more: bool) -> list[str]:
    return [info.name for info in listing.versions(world.lines, branch, **more)]


class TestRevisions:
    def test_an_update_is_a_new_revision_under_the_same_name(self, world: World) -> None:
        first = world.save(content=1)
        world.save(content=2)
        second = world.update("v1", 3)
        assert world.content("v1") == 3
        assert world.content("v1~1") == 1
        assert world.content("v1~2") == 3
        assert second.id != first.id
        with pytest.raises(errors.NotFound, match="2 revisions"):
            world.find("v1~3")

    def test_parents_bind_a_revision(self, world: World) -> None:
        first = world.save(content=1)
        second = world.save(content=2)
        world.update("v1", 3)
        assert world.find("v2").record.parents == (first.id.hex(),)
        assert world.find("v2").row.id == second.id

    def test_created_is_the_first_time_and_updated_the_last(self, world: World) -> None:
        world.save(content=1)
        before = listing.versions(world.lines)[0]
        world.update("v1", 2)
        after = listing.versions(world.lines)[0]
        assert before.created_at == before.updated_at == after.created_at < after.updated_at
        assert after.revision == 2

    def test_branches_that_stand_on_it_move_along(self, world: World) -> None:
        world.save(content=1)
        world.branch("side", "v1")
        revision = world.update("v1", 2)
        assert world.lines.branch("main").head == revision.id
        assert world.lines.branch("side").head == revision.id
        assert world.save().parents == (revision.id,)

    def test_tags_bind_a_revision(self, world: World) -> None:
        world.save(content=1)
        world.label("tag", "gold", "v1")
        world.update("v1", 2)
        assert world.content("gold") == 1


class TestBranches:
    def test_a_branch_from_nothing_counts_from_one(self, world: World) -> None:
        world.branch("side")
        assert world.head("side") is None
        assert world.save("side").name == "v1"

    def test_one_that_exists(self, world: World) -> None:
        world.branch("side")
        with pytest.raises(errors.AlreadyExists):
            world.branch("side")
        assert world.branch("side", exist_ok=True) == "side"

    def test_a_branch_inherits_names(self, world: World) -> None:
        for content in (1, 2, 3):
            world.save(content=content)
        world.branch("side", "v2")
        assert names(world, "side") == ["v1", "v2"]
        with pytest.raises(errors.NotFound):
            world.find("side@v3")
        assert world.content("side@v2") == 2

    def test_rename(self, world: World) -> None:
        world.save(content=1)
        world.branch("old", "v1")
        world.save("old", 2)
        world.rename("old", "new")
        assert world.content("new@v2") == 2
        assert {info.branch for info in listing.versions(world.lines)} == {"main", "new"}
        with pytest.raises(errors.NotFound):
            world.lines.branch("old")
        with pytest.raises(errors.InUse):
            world.rename("main", "other")

    def test_deleting_keeps_what_was_merged(self, world: World) -> None:
        world.branch("side")
        world.save("side", 1)
        world.merge("side")
        world.save("side", 2)
        assert world.delete_branch("side") == ["v2"]
        assert names(world) == ["v1"]
        assert listing.versions(world.lines)[0].branch == "main"

    def test_deleting_keeps_what_a_tag_reaches(self, world: World) -> None:
        world.branch("side")
        world.save("side", 1)
        world.save("side", 2)
        world.save("side", 3)
        world.label("tag", "gold", "side@v2")
        assert world.delete_branch("side") == ["v3"]
        assert world.content("gold") == 2

    def test_restoring_brings_all_back(self, world: World) -> None:
        world.branch("side")
        world.save("side", 1)
        world.save("side", 2)
        world.delete_branch("side")
        assert names(world) == []
        world.restore_branch("side")
        assert names(world, "side") == ["v1", "v2"]
        assert world.save("side").name == "v3"

    def test_what_was_deleted_before_stays_deleted(self, world: World) -> None:
        world.branch("side")
        world.save("side", 1)
        world.save("side", 2)
        world.delete("side@v2")
        world.delete_branch("side")
        world.restore_branch("side")
        assert names(world, "side") == ["v1"]

    def test_the_name_of_a_deleted_branch_is_free(self, world: World) -> None:
        world.branch("side")
        world.save("side", 1)
        world.delete_branch("side")
        world.branch("side")
        assert world.save("side", 2).name == "v1"
        assert world.content("side@v1") == 2

    def test_main_stays(self, world: World) -> None:
        with pytest.raises(errors.InUse):
            world.delete_branch("main")


class TestMerge:
    def test_an_empty_target_fast_forwards(self, world: World) -> None:
        world.branch("side")
        row = world.save("side", 1)
        merged = world.merge("side")
        assert merged is not None
        assert merged.id == row.id
        assert world.content("main@v1") == 1
        assert world.save().name == "v2"

    def test_nothing_new(self, world: World) -> None:
        world.save()
        world.branch("side", "v1")
        assert world.merge("side") is None

    def test_a_version_that_was_updated_since_is_no_obstacle(self, world: World) -> None:
        """Somebody measured v1 later, on either branch: both still have the same versions, in all their revisions."""
        world.save(content=1)
        world.branch("side", "v1")
        row = world.save("side", 2)
        world.update("main@v1", 3)
        merged = world.merge("side")
        assert merged is not None
        assert merged.id == row.id
        assert (world.content("main@v2"), world.content("main@v1"), world.content("side@v1")) == (2, 3, 3)
        world.branch("late", "side@v2")
        world.save("main", 4)
        world.update("late@v2", 5, "late")
        assert world.merge("late") is None, "its newest version, updated, is main's as well"

    def test_diverged_branches_need_a_real_merge(self, world: World) -> None:
        world.save()
        world.branch("side", "v1")
        world.save("side", 1)
        world.save("main", 2)
        with pytest.raises(errors.Diverged):
            world.merge("side")

    def test_clashing_names_make_a_merge_version(self, world: World) -> None:
        world.save(content=1)
        world.save(content=2)
        world.branch("side", "v1")
        world.save("side", 3)
        world.delete("main@v2")
        merged = world.merge("side")
        assert merged is not None
        assert merged.name == "v3"
        assert merged.parents[1] == world.find("side@v2").row.id
        assert world.content("main@v3") == 3
        world.restore("main@v2")
        assert world.content("main@v2") == 2


class TestDeletion:
    def test_the_branch_steps_back(self, world: World) -> None:
        world.save(content=1)
        world.save(content=2)
        world.delete("v2", why="bad")
        assert world.head() == "v1"
        assert names(world) == ["v1"]
        with pytest.raises(errors.NotFound, match=r"deleted by anna.*: bad"):
            world.find("v2")

    def test_it_steps_back_over_deleted_ones(self, world: World) -> None:
        for content in (1, 2, 3):
            world.save(content=content)
        world.delete("v2")
        world.delete("v3")
        assert world.head() == "v1"

    def test_deleting_everything_empties_the_branch(self, world: World) -> None:
        world.save()
        world.delete("v1")
        assert world.head() is None
        row = world.save()
        assert row.name == "v2"
        assert row.parents == ()

    def test_every_branch_that_stands_on_it_steps_back(self, world: World) -> None:
        world.save(content=1)
        world.save(content=2)
        world.branch("side", "v2")
        world.delete("v2")
        assert world.head("main") == world.head("side") == "v1"

    def test_one_in_the_middle_leaves_the_line(self, world: World) -> None:
        for content in (1, 2, 3):
            world.save(content=content)
        world.delete("v2")
        assert world.head() == "v3"
        assert names(world) == ["v1", "v3"]

    def test_restoring_never_moves_a_branch(self, world: World) -> None:
        world.save(content=1)
        world.save(content=2)
        world.delete("v2")
        world.restore("v2")
        assert world.head() == "v1"
        assert world.content("v2") == 2
        assert sorted(names(world, "main")) == ["v1", "v2"]
        with pytest.raises(errors.AlreadyExists):
            world.restore("v2")

    @pytest.mark.parametrize("kind", ["tag", "alias"])
    def test_a_label_forbids_it(self, world: World, kind: str) -> None:
        world.save(content=1)
        world.label(kind, "gold", "v1")  # type: ignore[arg-type]
        world.update("v1", 2)
        with pytest.raises(errors.InUse, match=f"{kind} gold"):
            world.delete("v1")
        world.unlabel(kind, "gold")  # type: ignore[arg-type]
        world.delete("v1")

    def test_a_restored_one_is_listed_in_its_place(self, world: World) -> None:
        world.save(content=1)
        world.save(content=2)
        world.delete("v2")
        world.save(content=3)
        world.restore("v2")
        assert names(world, "main") == ["v1", "v2", "v3"]
        assert names(world) == ["v1", "v2", "v3"]


class TestLabels:
    def test_an_alias_moves_and_remembers(self, world: World) -> None:
        world.save(content=1)
        world.save(content=2)
        world.label("alias", "production", "v1")
        world.label("alias", "production", "v2")
        assert world.content("production") == 2
        moves = listing.log(world.lines, "alias/production")
        first, second = world.find("v1").row.id.hex(), world.find("v2").row.id.hex()
        assert [(line.before, line.after) for line in moves] == [(first, second), (None, first)]
        world.delete("v1")

    def test_a_tag_is_fixed(self, world: World) -> None:
        world.save(content=1)
        world.save(content=2)
        world.label("tag", "gold", "v1")
        with pytest.raises(errors.AlreadyExists):
            world.label("tag", "gold", "v2")

    def test_unknown_ones(self, world: World) -> None:
        with pytest.raises(errors.NotFound):
            world.unlabel("tag", "none")
        world.save()
        with pytest.raises(errors.InvalidName):
            world.label("tag", "dead beef", "v1")


class TestRaces:
    def test_an_expected_head_that_moved_is_reported(self, world: World) -> None:
        first = world.save()
        world.save()
        with pytest.raises(errors.LostRace):
            world.save(expected=first.id)

    def test_the_log_says_who_when_why(self, world: World) -> None:
        world.save()
        world.save()
        world.delete("v2", why="wrong data")
        lines = listing.log(world.lines, "branch/main")
        assert [line.act for line in lines] == ["delete", "save", "save", "create repository"]
        assert lines[0].why == "wrong data"
        assert lines[0].actor == "anna"
        assert lines[0].after == lines[1].before


class TestInterleaved:
    """What two people do at once: the second commit was computed before the first was made."""

    def test_deleting_a_branch_loses_to_a_merge_of_it(self, world: World) -> None:
        world.branch("side")
        world.save("side", 1)
        computed = branches.delete(world.lines, "side", world.act())
        world.merge("side")
        assert computed.commit is not None
        with pytest.raises(errors.LostRace):
            world.history.commit(computed.commit)
        assert world.content("main@v1") == 1

    def test_deleting_a_branch_loses_to_a_branch_from_it(self, world: World) -> None:
        world.branch("side")
        world.save("side", 1)
        computed = branches.delete(world.lines, "side", world.act())
        world.branch("other", "side@v1")
        assert computed.commit is not None
        with pytest.raises(errors.LostRace):
            world.history.commit(computed.commit)

    def test_deleting_a_version_loses_to_a_branch_from_it(self, world: World) -> None:
        row = world.save(content=1)
        computed = deletion.delete(world.lines, row.first, world.act())
        world.branch("side", "v1")
        assert computed.commit is not None
        with pytest.raises(errors.LostRace):
            world.history.commit(computed.commit)
        world.delete("v1")
        assert world.head("side") is None

    def test_deleting_a_version_loses_to_the_return_of_a_branch_that_stands_on_it(self, world: World) -> None:
        row = world.save(content=1)
        world.branch("side", "v1")
        world.delete_branch("side")
        computed = deletion.delete(world.lines, row.first, world.act())
        world.restore_branch("side")
        assert computed.commit is not None
        with pytest.raises(errors.LostRace):
            world.history.commit(computed.commit)

    def test_deleting_the_newest_loses_to_the_deletion_of_the_one_below(self, world: World) -> None:
        first, _, third = (world.save(content=number) for number in range(3))
        world.branch("side")
        world.merge("main", "side")
        computed = deletion.delete(world.lines, third.first, world.act())
        world.delete("v2")
        assert computed.commit is not None
        with pytest.raises(errors.LostRace):
            world.history.commit(computed.commit)
        world.delete("v3")
        assert world.lines.branch("main").head == world.lines.branch("side").head == first.id

    def test_deleting_the_newest_loses_to_an_update_of_the_one_below(self, world: World) -> None:
        world.save(content=1)
        last = world.save(content=2)
        computed = deletion.delete(world.lines, last.first, world.act())
        newest = world.update("v1", 3)
        assert computed.commit is not None
        with pytest.raises(errors.LostRace):
            world.history.commit(computed.commit)
        world.delete("v2")
        assert world.lines.branch("main").head == newest.id


class TestBranchesThatReturn:
    def test_what_two_deleted_branches_shared_comes_back_with_either(self, world: World) -> None:
        world.branch("f")
        world.save("f", 1)
        world.save("f", 2)
        world.branch("g", "f@v2")
        world.delete_branch("f")
        world.delete_branch("g")
        world.restore_branch("f")
        assert world.head("f") == "v2"
        assert world.content("f@v2") == 2
        assert world.save("f").name == "v3"

    def test_one_whose_newest_was_deleted_by_itself_steps_back(self, world: World) -> None:
        world.branch("f")
        world.save("f", 1)
        last = world.save("f", 2)
        world.delete_branch("f")
        world.restore(last.id.hex())
        world.delete(last.id.hex())
        world.restore_branch("f")
        assert world.head("f") == "v1"
        assert world.save("f", 3).parents == (world.find("f@v1").row.id,)

    def test_one_whose_name_was_taken_comes_back_when_there_is_room(self, world: World) -> None:
        world.branch("f")
        world.save("f", 1)
        world.delete_branch("f")
        world.branch("f")
        world.save("f", 2)
        with pytest.raises(errors.AlreadyExists, match="makes room"):
            world.restore_branch("f")
        world.rename("f", "newer")
        world.restore_branch("f")
        assert world.content("f@v1") == 1
        assert world.content("newer@v1") == 2

    def test_one_whose_name_another_took_by_renaming_comes_back_too(self, world: World) -> None:
        world.branch("f")
        world.save("f", 1)
        world.delete_branch("f")
        world.branch("g")
        world.save("g", 2)
        world.rename("g", "f")
        assert world.content("f@v1") == 2
        world.rename("f", "h")
        world.restore_branch("f")
        assert world.content("f@v1") == 1
        assert world.content("h@v1") == 2

    def test_a_name_that_a_merge_brought_in_is_not_doubled(self, world: World) -> None:
        old = world.save(content=1)
        world.branch("f")
        world.delete("v1")
        world.delete_branch("f")
        world.branch("g")
        world.save("g", 2)
        world.merge("g")
        assert world.content("main@v1") == 2
        with pytest.raises(errors.AlreadyExists, match="another version 'v1'"):
            world.restore(old.id.hex())
