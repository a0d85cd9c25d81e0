"""Three-way merge of texts: lines, ends of lines, markers, and JSON by its keys."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lepton_ai.history.merging import alignment
from lepton_ai.history.merging.text import Labels, MergedText, is_text, merge


def three(base: str | None, ours: str, theirs: str) -> MergedText:
    return merge(None if base is None else base.encode(), ours.encode(), theirs.encode())


class TestWhoChanged:
    def test_both_the_same(self) -> None:
        assert three("a\n", "b\n", "b\n") == MergedText(b"b\n", "same")

    def test_only_theirs(self) -> None:
        assert three("a\n", "a\n", "b\n") == MergedText(b"b\n", "theirs")

    def test_only_ours(self) -> None:
        assert three("a\n", "b\n", "a\n") == MergedText(b"b\n", "ours")

    def test_binary_that_one_side_changed_is_that_side(self) -> None:
        assert merge(b"\0a", b"\0a", b"\0b") == MergedText(b"\0b", "theirs")

    def test_binary_that_both_changed_is_nobodys(self) -> None:
        merged = merge(b"\0a", b"\0b", b"\0c")
        assert (merged.outcome, merged.data, merged.clean) == ("binary", b"\0b", False)


class TestLines:
    def test_changes_in_different_places_both_count(self) -> None:
        merged = three("a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\nf\n")
        assert merged == MergedText(b"A\nb\nc\nd\nE\nf\n", "lines")

    def test_insertions_and_deletions(self) -> None:
        assert three("a\nb\nc\nd\n", "a\nx\nb\nc\nd\n", "a\nb\nc\n").data == b"a\nx\nb\nc\n"

    def test_the_same_change_on_both_sides_is_no_conflict(self) -> None:
        assert three("a\nb\nc\nd\n", "a\nB\nc\nd\n1\n", "0\na\nB\nc\nd\n").data == b"0\na\nB\nc\nd\n1\n"

    def test_a_conflict_shows_the_three_sides(self) -> None:
        merged = three("a\nb\nc\n", "a\nmine\nc\n", "a\nits\nc\n")
        assert merged.data == (b"a\n<<<<<<< ours\nmine\n||||||| base\nb\n=======\nits\n>>>>>>> theirs\nc\n")
        assert (merged.outcome, merged.hunks, merged.clean) == ("conflict", 1, False)

    def test_labels_are_the_callers(self) -> None:
        merged = merge(b"a\n", b"b\n", b"c\n", Labels("main@v2", "v1", "feature@v3"))
        assert merged.data.splitlines()[::2] == [
            b"<<<<<<< main@v2",
            b"||||||| v1",
            b"=======",
            b">>>>>>> feature@v3",
        ]

    def test_one_deletes_what_the_other_changes(self) -> None:
        assert three("a\nb\nc\n", "a\nc\n", "a\nB\nc\n").outcome == "conflict"

    def test_both_added_the_file(self) -> None:
        merged = three(None, "same\nmine\nend\n", "same\nits\nend\n")
        assert merged.data == b"same\n<<<<<<< ours\nmine\n=======\nits\n>>>>>>> theirs\nend\n"

    def test_everything_deleted_on_one_side(self) -> None:
        assert three("a\n", "", "b\n").outcome == "conflict"
        assert three("a\nb\n", "", "a\nb\n").data == b""

    def test_other_encodings_keep_their_bytes(self) -> None:
        assert merge(b"\xe4\nb\nc\n", b"\xe4\nb\n\xf6\n", b"\xfc\nb\nc\n").data == b"\xfc\nb\n\xf6\n"


class TestEndsOfLines:
    def test_windows_ends_stay(self) -> None:
        assert three("a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n").data == b"A\r\nb\r\nC\r\n"

    def test_markers_end_as_the_file_does(self) -> None:
        assert b"<<<<<<< ours\r\n" in three("a\r\n", "b\r\n", "c\r\n").data

    def test_converted_on_one_side(self) -> None:
        assert three("a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nb\nC\n").data == b"a\r\nb\r\nC\r\n"
        assert three("a\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n", "a\nb\nc\n").data == b"a\nb\nC\n"

    def test_no_newline_at_the_end_stays(self) -> None:
        assert three("a\nb\nc", "A\nb\nc", "a\nb\nC").data == b"A\nb\nC"

    def test_one_side_ends_its_last_line(self) -> None:
        assert three("a\nb\nc", "a\nb\nc\n", "A\nb\nc").data == b"A\nb\nc\n"

    def test_one_side_adds_lines_and_the_last_stays_open(self) -> None:
        assert three("a\nb", "a\nb\nc", "z\nb").data == b"z\nb\nc"

    def test_a_marker_is_always_a_line(self) -> None:
        assert three("a", "b", "c").data.endswith(b">>>>>>> theirs\n")

    def test_mixed_ends_stay_as_they_are(self) -> None:
        assert three("a\r\nb\nc\n", "a\r\nb\nC\n", "a\r\nb\nc\n\n").outcome == "conflict"
        assert three("a\r\nb\nc\nd\n", "a\r\nb\nc\nD\n", "A\r\nb\nc\nd\n").data == b"A\r\nb\nc\nD\n"


class TestWhatIsText:
    @pytest.mark.parametrize("data", [b"", b"a\tb\r\n", "äöü 语".encode(), b"\xe4\xf6", b"\x1b[1m"])
    def test_text(self, data: bytes) -> None:
        assert is_text(data)

    @pytest.mark.parametrize(
        "data", [b"\0", b"abc\x01", b"\x80\x02}q\x00.", "a".encode("utf-16"), b"\x7fELF"]
    )
    def test_not_text(self, data: bytes) -> None:
        assert not is_text(data)


def pretty(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


BASE = {"hidden": 8, "act": "gelu", "labels": {"0": "cat", "1": "dog"}, "layers": [1, 2]}


class TestJson:
    def test_neighbouring_keys_merge_though_their_lines_conflict(self) -> None:
        merged = three(pretty(BASE), pretty(BASE | {"hidden": 16}), pretty(BASE | {"act": "relu"}))
        assert merged == MergedText(pretty(BASE | {"hidden": 16, "act": "relu"}).encode(), "keys")

    def test_both_add_a_last_key(self) -> None:
        merged = three(pretty(BASE), pretty(BASE | {"x": 1}), pretty(BASE | {"y": {"z": []}}))
        assert json.loads(merged.data) == BASE | {"x": 1, "y": {"z": []}}
        assert merged.outcome == "keys"

    def test_it_looks_as_ours_does(self) -> None:
        ours = '{\n\t"hidden" : 16,   "act":"gelu",\n\t"list": [1,\n2] }'
        base = '{"hidden": 8, "act": "gelu", "list": [1, 2]}'
        merged = three(base, ours, '{"hidden": 8, "act": "relu", "more": 1e-05, "list": [1, 2]}')
        assert (
            merged.data.decode()
            == '{\n\t"hidden" : 16,   "act":"relu",\n\t"more": 1e-05,\n\t"list": [1,\n2] }'
        )

    def test_nested_keys(self) -> None:
        ours, theirs = json.loads(pretty(BASE)), json.loads(pretty(BASE))
        ours["labels"]["1"], theirs["labels"]["2"] = "wolf", "bird"
        del theirs["labels"]["0"]
        merged = three(json.dumps(BASE), json.dumps(ours), json.dumps(theirs))
        assert json.loads(merged.data)["labels"] == {"1": "wolf", "2": "bird"}

    def test_all_members_gone(self) -> None:
        merged = three('{"a": 1, "b": 2}', '{"b": 2}', '{"a": 1}')
        assert merged == MergedText(b"{}", "keys")

    def test_a_key_in_conflict_leaves_the_markers_and_is_named(self) -> None:
        ours, theirs = BASE | {"hidden": 16}, BASE | {"hidden": 32}
        merged = three(pretty(BASE), pretty(ours), pretty(theirs))
        assert (merged.outcome, merged.keys) == ("conflict", ("/hidden",))
        assert b"<<<<<<< ours" in merged.data

    def test_pointers_are_escaped(self) -> None:
        merged = three('{"a/b": {"~": 1}}', '{"a/b": {"~": 2}}', '{"a/b": {"~": 3}}')
        assert merged.keys == ("/a~1b/~0",)

    def test_lists_are_one_value(self) -> None:
        assert three('{"l": [1, 2]}', '{"l": [1, 3]}', '{"l": [0, 2]}').keys == ("/l",)

    @pytest.mark.parametrize(("one", "other"), [("1", "true"), ("1", "1.0"), ("null", '"null"')])
    def test_values_of_different_kinds_differ(self, one: str, other: str) -> None:
        assert three('{"a": 7}', f'{{"a": {one}}}', f'{{"a": {other}}}').keys == ("/a",)

    def test_not_a_number_equals_itself(self) -> None:
        assert three('{"a": NaN, "b": 1}', '{"a": NaN, "b": 2}', '{"a":NaN,"b":1,"c":1}').data == (
            b'{"a": NaN, "b": 2,"c":1}'
        )

    def test_lines_that_fit_may_not_break_json(self) -> None:
        base = '{\n"a": 1,\n"b": 2,\n"c": 3,\n"d": 4\n}\n'
        ours = '{\n"x": 1,\n"a": 1,\n"b": 2,\n"c": 3,\n"d": 4\n}\n'
        theirs = '{\n"a": 1,\n"b": 2,\n"c": 3,\n"x": 1,\n"d": 4\n}\n'  # by lines "x" would come twice
        merged = three(base, ours, theirs)
        assert merged.outcome == "keys"
        assert merged.data.count(b'"x"') == 1
        clash = three(base, ours, theirs.replace('"x": 1', '"x": 2'))
        assert (clash.outcome, clash.hunks, clash.keys) == ("conflict", 1, ("/x",))
        assert clash.data.startswith(b"<<<<<<< ours\n{\n")

    @pytest.mark.parametrize(
        "broken", ['{"a": 1,}', '{"a": 1, "a": 2}', "[1]", '{"a"', "", '{"a": [{"b": 1, "b": 2}]}']
    )
    def test_what_is_no_sound_json_is_merged_by_lines(self, broken: str) -> None:
        assert three('{"a": 1}', '{"a": 2}', broken).keys == ()

    def test_a_large_vocabulary(self) -> None:
        base = {"model": {"vocab": {f"w{i}": i for i in range(30_000)}}}
        ours, theirs = json.loads(json.dumps(base)), json.loads(json.dumps(base))
        ours["model"]["vocab"]["mine"] = 30_000
        theirs["model"]["vocab"] |= {f"its{i}": 30_001 + i for i in range(2_000)}
        merged = three(pretty(base), pretty(ours), pretty(theirs))
        assert merged.outcome == "keys"
        assert len(json.loads(merged.data)["model"]["vocab"]) == 32_001


LETTER = st.sampled_from(["a", "b", "c", "d", ""])
TEXT = st.lists(LETTER, max_size=9).map("\n".join).map(str.encode)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4)


class TestLaws:
    @given(TEXT, TEXT)
    def test_a_side_without_changes_gives_the_other(self, base: bytes, other: bytes) -> None:
        assert (
            merge(base, other, base).data
            == merge(base, base, other).data
            == merge(base, other, other).data
            == other
        )

    @example(b"", b"a", b"a\n")
    @example(b"", b"a\r\n", b"a\n")
    @given(TEXT, TEXT, TEXT)
    def test_turned_round_it_is_as_clean(self, base: bytes, ours: bytes, theirs: bytes) -> None:
        there, back = merge(base, ours, theirs), merge(base, theirs, ours)
        assert there.clean == back.clean
        if there.clean:
            assert there.data == back.data

    @given(TEXT, TEXT, TEXT)
    def test_every_line_comes_from_somewhere(self, base: bytes, ours: bytes, theirs: bytes) -> None:
        known = {*base.split(b"\n"), *ours.split(b"\n"), *theirs.split(b"\n"), b"=======", b""}
        marks = (b"<<<<<<< ", b"||||||| ", b">>>>>>> ")
        for line in merge(base, ours, theirs).data.split(b"\n"):
            assert line in known or line.startswith(marks)

    @given(TEXT, TEXT, TEXT)
    def test_the_sides_can_be_read_out_of_the_conflicts(
        self, base: bytes, ours: bytes, theirs: bytes
    ) -> None:
        merged = merge(base, ours, theirs)
        if merged.clean:
            return
        hunks, side = [], ""
        for line in merged.data.decode().split("\n"):
            mark = line.split(" ")[0] if line[:7] in ("<<<<<<<", "|||||||", "=======", ">>>>>>>") else ""
            side = mark or side
            if mark == "<<<<<<<":
                hunks.append({"<<<<<<<": [], "|||||||": [], "=======": []})
            elif not mark and side in ("<<<<<<<", "|||||||", "======="):
                hunks[-1][side].append(line)
        assert len(hunks) == merged.hunks
        assert all(h["<<<<<<<"] != h["|||||||"] != h["======="] for h in hunks)

    @given(st.lists(LETTER, max_size=12), st.lists(LETTER, max_size=12))
    def test_matching_runs_match_and_rise(self, one: list[str], other: list[str]) -> None:
        at = there = 0
        for i, j, length in alignment.matches(one, other):
            assert length > 0
            assert (i, j) >= (at, there)
            assert j >= there
            assert one[i : i + length] == other[j : j + length]
            at, there = i + length, j + length

    @given(OBJECTS, OBJECTS, OBJECTS)
    def test_json_by_key_is_what_the_rule_says(self, base: dict, ours: dict, theirs: dict) -> None:  # type: ignore[type-arg]
        merged = merge(*(json.dumps(side).encode() for side in (base, ours, theirs)))
        expected, clash = by_key(base, ours, theirs)
        assert merged.clean == (not clash)
        if not clash:
            assert alike(json.loads(merged.data), expected)


MISSING = object()


def alike(one: object, other: object) -> bool:
    return one is other or (
        MISSING not in (one, other) and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    )


def by_key(base: dict, ours: dict, theirs: dict) -> tuple[dict, bool]:  # type: ignore[type-arg]
    result, clash = {}, False
    for key in {*base, *ours, *theirs}:
        was, mine, its = (side.get(key, MISSING) for side in (base, ours, theirs))
        if alike(mine, its) or alike(its, was):
            value = mine
        elif isinstance(mine, dict) and isinstance(its, dict):
            value, deep = by_key(was if isinstance(was, dict) else {}, mine, its)
            clash |= deep
        elif alike(mine, was):
            value = its
        else:
            value, clash = mine, True
        if value is not MISSING:
            result[key] = value
    return result, clash


@pytest.mark.parametrize("seed", range(40))
def test_what_git_merges_cleanly_merges_the_same_here(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    base = [f"line {i}" for i in range(40)]

    def edited() -> list[str]:
        lines = list(base)
        for _ in range(3):
            at = chance.randrange(len(lines))
            lines[at : at + chance.randrange(2)] = [
                f"new {chance.random()}" for _ in range(chance.randrange(3))
            ]
        return lines

    sides = {"ours": edited(), "base": base, "theirs": edited()}
    for name, lines in sides.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["git", "merge-file", "-p", "ours", "base", "theirs"], cwd=tmp_path, capture_output=True, check=False
    )
    merged = merge(*((tmp_path / name).read_bytes() for name in ("base", "ours", "theirs")))
    if done.returncode == 0 and merged.clean:
        assert merged.data == done.stdout
    assert merged.clean or done.returncode > 0 or _adjacent(sides)


def _adjacent(sides: dict[str, list[str]]) -> bool:
    """Whether a line that ours changed touches one that theirs changed: then diff3 and git may judge differently."""
    touched = []
    for name in ("ours", "theirs"):
        same = {i + k for i, _, n in alignment.matches(sides["base"], sides[name]) for k in range(n)}
        touched.append({i for i in range(len(sides["base"])) if i not in same})
    return any(abs(i - j) <= 1 for i in touched[0] for j in touched[1])


@given(st.lists(LETTER, max_size=12), st.lists(LETTER, max_size=12))
def test_without_anchors_as_many_lines_match_as_can(one: list[str], other: list[str]) -> None:
    pairs = alignment._fewest_edits(one, other)
    assert all(one[i] == other[j] for i, j in pairs)
    assert pairs == sorted(pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs) == longest(one, other)


def longest(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for line in one:
        row = [0, *row[1:]]
        diagonal = 0
        for j, its in enumerate(other):
            up = row[j + 1]
            row[j + 1] = diagonal + 1 if line == its else max(up, row[j])
            diagonal = up
    return row[-1]


def test_texts_of_few_different_lines_keep_their_changes_apart() -> None:
    lines = ["  ],", "  ["] * 5_000
    ours, theirs = ["mine", *lines], [*lines[:5_000], "its", *lines[5_000:]]
    merged = merge(*("\n".join(side).encode() for side in (lines, ours, theirs)))
    assert merged.data.decode().split("\n") == ["mine", *lines[:5_000], "its", *lines[5_000:]]
