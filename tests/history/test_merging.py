"""A merge under way: seen by all, decided bit by bit, kept from harm, ended by a version or given up."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace

from lepton_ai import errors
from lepton_ai.history import states
from lepton_ai.history.changes import decisions, merging, saving
from lepton_ai.history.changes.attempt import Act, attempt
from lepton_ai.types import Attachment

from .worlds import World

CONFLICTS = (
    states.Conflict("tensor", "layer.0.weight", "changed on both sides"),
    states.Conflict("tensor", "layer.1.weight", "changed on both sides"),
    states.Conflict("file", "config.json", "2 hunks"),
    states.Conflict("file", "vocab.txt"),
)


class Merging(World):
    """main and feature went different ways, and their merge waits."""

    def __init__(self) -> None:
        super().__init__()
        self.save(content=1)
        self.branch("feature", "v1")
        self.save(content=2)
        self.save("feature", content=3)
        self.begin()

    def begin(self) -> states.MergeState:
        ours, theirs, base = (self.find(each).row.id.hex() for each in ("main", "feature", "main@v1"))
        state = states.MergeState("", "feature", ours, (theirs,), (base,), {}, CONFLICTS, 0, "")
        return attempt(self.history, lambda: merging.begin(self.lines, "main", state, self.act("why not")))

    def resolve(
        self,
        target: str,
        how: str = "ours",
        who: str = "anna",
        force: bool = False,
        again: bool = False,
        **more: object,
    ) -> tuple[str, ...]:
        wish = states.Resolution(target, how, "", 0, **more)  # type: ignore[arg-type]
        act = Act(who, next(self.clock), "because")
        return attempt(
            self.history,
            lambda: merging.resolve(self.lines, "main", wish, act, again=again, force=force),
        )

    def abort(self) -> None:
        attempt(self.history, lambda: merging.abort(self.lines, "main", self.act()))

    def finish(self) -> None:
        def build() -> saving.Result[object]:
            merge = merging.under_way(self.lines, "main")
            theirs = self.find("feature")
            made = saving.new_version(
                self.lines, "main", self.draft(9, "merge"), self.act(), others=(theirs,)
            )
            assert made.commit is not None
            return saving.Result(merging.ended(self.lines, merge, made.commit), made.value)

        attempt(self.history, build)

    @property
    def state(self) -> merging.UnderWay:
        return merging.under_way(self.lines, "main")

    @property
    def open(self) -> list[str]:
        return [conflict.name for conflict in self.state.open]


@pytest.fixture
def world() -> Merging:
    return Merging()


class TestBegin:
    def test_everybody_sees_it(self, world: Merging) -> None:
        (merge,) = merging.all_under_way(world.lines)
        assert merge == world.state
        assert merge.said == "feature into main, begun by anna on 2023-11-14"
        assert world.open == [conflict.name for conflict in CONFLICTS]
        assert world.history.log("merge/main")[0].act == "begin merge"

    def test_one_at_a_time_into_a_branch(self, world: Merging) -> None:
        with pytest.raises(errors.InUse, match="a merge is in progress: feature into main"):
            world.begin()

    def test_not_upon_a_head_that_moved(self, world: Merging) -> None:
        state = world.state.state
        world.abort()
        world.save(content=7)
        with pytest.raises(errors.LostRace):
            merging.begin(world.lines, "main", state, world.act())

    def test_none_is_told(self, world: Merging) -> None:
        with pytest.raises(errors.NotFound) as caught:
            merging.under_way(world.lines, "feature")
        assert "--into" in str(caught.value.hint)
        with pytest.raises(errors.NotFound, match="no branch 'nowhere'"):
            merging.under_way(world.lines, "nowhere")


class TestKept:
    @pytest.mark.parametrize(("address", "branch"), [("v1", "main"), ("v2", "main"), ("v2", "feature")])
    def test_what_it_merges_cannot_be_deleted(self, world: Merging, address: str, branch: str) -> None:
        with pytest.raises(errors.InUse, match="merge main"):
            world.delete(address, branch)
        world.abort()
        world.delete(address, branch)

    def test_nor_what_helps_it(self, world: Merging) -> None:
        state = world.state.state
        world.abort()
        world.branch("fisher", "v1")
        aid = world.save("fisher", content=8)
        helped = replace(state, request={"aids": {"fisher": [aid.id.hex()]}})
        attempt(world.history, lambda: merging.begin(world.lines, "main", helped, world.act()))
        with pytest.raises(errors.InUse, match="merge main"):
            world.delete("v2", "fisher")

    def test_deleting_the_source_branch_leaves_its_versions(self, world: Merging) -> None:
        world.save("feature", content=4)
        assert world.delete_branch("feature") == ["v3"]

    def test_its_branch_keeps_its_name_and_stays(self, world: Merging) -> None:
        world.branch("other", "main")
        world.save("other", content=5)
        ours, theirs = (world.find(each).row.id.hex() for each in ("other", "feature"))
        state = states.MergeState("", "feature", ours, (theirs,), (), {}, CONFLICTS, 0, "")
        attempt(world.history, lambda: merging.begin(world.lines, "other", state, world.act()))
        for act in (lambda: world.rename("other", "more"), lambda: world.delete_branch("other")):
            with pytest.raises(errors.InUse, match="feature into other"):
                act()
        attempt(world.history, lambda: merging.abort(world.lines, "other", world.act()))
        world.rename("other", "more")

    def test_content_of_resolutions_is_told_to_gc(self, world: Merging) -> None:
        assert merging.digests(world.lines) == set()
        world.resolve("config.json", "file", given=Attachment("ab" * 32, 3), file="mine.json")
        assert merging.digests(world.lines) == {b"\xab" * 32}
        world.abort()
        assert merging.digests(world.lines) == set()


class TestResolve:
    def test_who_when_and_why_are_kept(self, world: Merging) -> None:
        assert world.resolve("layer.0.weight", "theirs", "bert") == ("layer.0.weight",)
        (resolution,) = world.state.state.resolutions
        assert (resolution.how, resolution.by, resolution.why) == ("theirs", "bert", "because")
        assert resolution.at > world.state.state.started_at
        assert world.history.log("merge/main")[0].act == "resolve layer.0.weight"

    def test_globs_mean_several(self, world: Merging) -> None:
        assert world.resolve("layer.*") == ("layer.0.weight", "layer.1.weight")
        assert world.open == ["config.json", "vocab.txt"]

    def test_a_name_with_signs_of_globs_means_itself(self) -> None:
        assert decisions.fits("w[0]", "w[0]")
        assert not decisions.fits("w[0]", "w1")

    def hows(self, world: Merging) -> list[str | None]:
        found = (decisions.decided(world.state.state, one.name) for one in CONFLICTS)
        return [one and one.how for one in found]

    def test_a_glob_leaves_what_is_decided(self, world: Merging) -> None:
        world.resolve("layer.1.weight", "theirs")
        world.resolve("c*", "base")
        assert world.resolve("*", "ours") == ("layer.0.weight", "vocab.txt")
        assert self.hows(world) == ["ours", "theirs", "base", "ours"]
        with pytest.raises(
            errors.Diverged, match=r"all 2 conflicts that 'layer\.\*' fits are decided already"
        ):
            world.resolve("layer.*", "base")

    def test_a_glob_again_goes_before_all(self, world: Merging) -> None:
        world.resolve("layer.1.weight", "theirs")
        world.resolve("*", "ours")
        assert world.resolve("layer.*", "base", again=True) == ("layer.0.weight", "layer.1.weight")
        assert self.hows(world) == ["base", "base", "ours", "ours"]
        world.resolve("layer.*", "theirs", again=True)
        assert self.hows(world) == ["theirs", "theirs", "ours", "ours"]
        assert len(world.state.state.resolutions) == 3

    def test_a_name_decides_anew(self, world: Merging) -> None:
        world.resolve("*", "ours")
        assert world.resolve("layer.1.weight", "theirs") == ("layer.1.weight",)
        assert self.hows(world) == ["ours", "theirs", "ours", "ours"]
        world.resolve("layer.1.weight", "base")
        assert self.hows(world)[1] == "base"

    def test_what_is_no_conflict_is_told(self, world: Merging) -> None:
        with pytest.raises(errors.NotFound, match=r"'layer\.7' is no conflict"):
            world.resolve("layer.7")

    @pytest.mark.parametrize(
        ("target", "how"),
        [
            ("config.json", "method"),
            ("layer.*", "file"),
            ("*", "method"),
        ],
    )
    def test_what_cannot_be_is_refused(self, world: Merging, target: str, how: str) -> None:
        with pytest.raises(errors.UsageError):
            world.resolve(target, how, method="linear")
        assert world.state.state.resolutions == ()

    def test_another_ones_decision_is_not_overruled_by_accident(self, world: Merging) -> None:
        world.resolve("layer.0.weight", "ours", "anna")
        world.resolve("layer.0.weight", "base", "anna")
        with pytest.raises(
            errors.Diverged, match=r"anna decided for layer\.0\.weight already, .*: base \(because\)"
        ):
            world.resolve("layer.*", "theirs", "bert", again=True)
        assert world.open == ["layer.1.weight", "config.json", "vocab.txt"]
        world.resolve("layer.*", "theirs", "bert", again=True, force=True)
        decided = decisions.decided(world.state.state, "layer.0.weight")
        assert decided is not None
        assert decided.by == "bert"

    def test_many_at_once_lose_nothing(self, world: Merging) -> None:
        names = [conflict.name for conflict in CONFLICTS]
        barrier = threading.Barrier(len(names))

        def work(name: str) -> None:
            barrier.wait()
            world.resolve(name, who=name)

        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert world.open == []
        assert sorted(one.by for one in world.state.state.resolutions) == sorted(names)

    def test_of_two_at_once_on_one_conflict_one_is_told(self, world: Merging) -> None:
        barrier, told = threading.Barrier(2), []

        def work(who: str) -> None:
            barrier.wait()
            try:
                world.resolve("config.json", who=who)
            except errors.Diverged as problem:
                told.append((who, problem.message))

        threads = [threading.Thread(target=work, args=(who,)) for who in ("anna", "bert")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ((loser, message),) = told
        (resolution,) = world.state.state.resolutions
        assert {loser, resolution.by} == {"anna", "bert"}
        assert resolution.by in message


class TestEnd:
    def test_the_version_and_the_end_are_one_commit(self, world: Merging) -> None:
        world.finish()
        assert world.content("main") == 9
        assert merging.all_under_way(world.lines) == []
        assert world.find("feature").state.pins == world.find("main@v2").state.pins == ()
        stamps = {entry.number for entry in world.history.log("merge/main", limit=1)}
        assert stamps
        assert world.history.log("merge/main")[0].act == world.history.log("branch/main")[0].act == "merge"

    def test_aborting_leaves_the_branch_alone(self, world: Merging) -> None:
        world.abort()
        assert world.head() == "v2"
        assert world.find("feature").state.pins == ()
        world.begin()

    def test_who_comes_too_late_is_told(self, world: Merging) -> None:
        late = merging.abort(world.lines, "main", world.act()).commit
        assert late is not None
        world.finish()
        with pytest.raises(errors.LostRace):
            world.history.commit(late)
        with pytest.raises(errors.NotFound, match="no merge into 'main'"):
            world.resolve("config.json")

    def test_tags_stay(self, world: Merging) -> None:
        world.label("tag", "best", "feature")
        world.abort()
        assert world.find("feature").state.pins == ("tag/best",)


def test_a_state_of_a_later_version_is_told(world: Merging) -> None:
    ref = world.state.ref
    odd = replace(ref, value=b'{"uid": 7}')
    with pytest.raises(errors.TooNew, match="merge/main"):
        merging._read(odd)
