"""The same tensors under other names: found by what they hold, or told by a mapping file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import UsageError
from lepton_ai.history.merging import mapping
from lepton_ai.history.merging.renames import Renames, Trait, detect


def traits(**names: str | None) -> dict[str, Trait]:
    return {name.replace("__", "."): Trait("float32", (4,), content) for name, content in names.items()}


class TestByContent:
    def test_equal_content_under_another_name(self) -> None:
        found = detect(traits(a__w="1", b__w="2", c="3"), traits(x__w="1", b__w="9", c="3"))
        assert found == Renames({"a.w": "x.w"}, {})

    def test_nothing_is_renamed_while_the_old_name_stays(self) -> None:
        assert detect(traits(a="1"), traits(a="2", b="1")).all == {}

    def test_type_and_shape_count(self) -> None:
        base, side = {"a": Trait("float32", (2, 2), "1")}, {"b": Trait("float32", (4,), "1")}
        assert detect(base, side).all == {}

    def test_twins_without_a_pattern_are_unclear(self) -> None:
        found = detect(traits(a="0", b="0", c="1"), traits(d="0", e="0", f="2"))
        assert found == Renames({}, {}, ("a", "b"))

    def test_twins_follow_the_pattern_of_the_others(self) -> None:
        base = traits(enc__0__w="1", enc__1__w="2", enc__0__bias="0", enc__1__bias="0")
        side = traits(
            model__enc__0__w="1", model__enc__1__w="2", model__enc__0__bias="0", model__enc__1__bias="0"
        )
        found = detect(base, side)
        assert found.proved == {"enc.0.w": "model.enc.0.w", "enc.1.w": "model.enc.1.w"}
        assert found.followed == {"enc.0.bias": "model.enc.0.bias", "enc.1.bias": "model.enc.1.bias"}

    def test_what_was_trained_since_follows_too(self) -> None:
        base = traits(h__0__attn__w="1", h__1__attn__w="2", h__1__attn__b="3", ln__w="4")
        side = traits(
            layers__0__attention__w="1",
            layers__1__attention__w="trained",
            layers__1__attention__b="new",
            ln__w="4",
        )
        assert detect(base, side).all == {
            "h.0.attn.w": "layers.0.attention.w",
            "h.1.attn.w": "layers.1.attention.w",
            "h.1.attn.b": "layers.1.attention.b",
        }

    def test_names_that_end_otherwise(self) -> None:
        found = detect(
            traits(a__gamma="1", b__gamma="2", c__gamma="x"),
            traits(a__weight="1", b__weight="2", c__weight="y"),
        )
        assert found.all == {"a.gamma": "a.weight", "b.gamma": "b.weight", "c.gamma": "c.weight"}

    def test_a_part_in_the_middle(self) -> None:
        found = detect(
            traits(m__0__self__q="1", n__0__self__q="x"), traits(m__0__attn__q="1", n__0__attn__q="y")
        )
        assert found.followed == {"n.0.self.q": "n.0.attn.q"}

    def test_a_pattern_leads_nowhere_when_content_contradicts(self) -> None:
        base = traits(a__1="1", a__x="2", a__y="2")
        side = traits(b__1="1", b__x="3", b__z="2")
        assert detect(base, side).all == {"a.1": "b.1"}

    def test_a_pattern_leads_nowhere_when_the_shape_is_another(self) -> None:
        base = traits(a__v="1") | {"a.w": Trait("float32", (8,), "2")}
        assert detect(base, traits(b__v="1", b__w="3")).all == {"a.v": "b.v"}

    def test_without_any_content_nothing_is_guessed(self) -> None:
        assert detect(traits(a=None, b=None), traits(c=None, d=None)).all == {}

    @given(
        st.dictionaries(
            st.from_regex(r"[a-c]\.[0-3]\.[wb]", fullmatch=True), st.sampled_from("01234"), max_size=8
        )
    )
    def test_a_prefix_for_all_is_found_whenever_one_content_is_its_own(
        self, contents: dict[str, str]
    ) -> None:
        base = {name: Trait("float32", (4,), content) for name, content in contents.items()}
        side = {f"model.{name}": trait for name, trait in base.items()}
        found = detect(base, side)
        values = list(contents.values())
        if any(values.count(value) == 1 for value in values):
            assert found.all == {name: f"model.{name}" for name in base}
        assert all(side[new] == base[old] for old, new in found.all.items())


def mapped(text: str, base: list[str], side: list[str]) -> dict[str, str]:
    return mapping.names(mapping.parse(text.encode(), "names.txt"), base, side, "names.txt")


class TestMapping:
    def test_plain_names(self) -> None:
        assert mapped("# a refactor\na.w -> b.w  # it moved\n\n", ["a.w", "c"], ["b.w", "c"]) == {
            "a.w": "b.w"
        }

    def test_stars_are_put_in_in_order(self) -> None:
        text = "h.*.attn.* -> layers.*.attention.*"
        assert mapped(
            text, ["h.0.attn.w", "h.10.attn.b", "ln"], ["layers.0.attention.w", "layers.10.attention.b"]
        ) == {
            "h.0.attn.w": "layers.0.attention.w",
            "h.10.attn.b": "layers.10.attention.b",
        }

    def test_regular_expressions(self) -> None:
        assert mapped(r"/bert\.(\w+)\.(.*)/ -> \2.\1", ["bert.x.w", "bert.b"], ["w.x"]) == {"bert.x.w": "w.x"}

    def test_dots_and_backslashes_of_names_are_letters(self) -> None:
        assert mapped(r"a.b*\ -> c*\1", ["a.b7\\", "axb7\\"], ["c7\\1"]) == {"a.b7\\": "c7\\1"}

    def test_the_first_line_that_fits_decides(self) -> None:
        assert mapped("a.0 -> x\na.* -> b.*", ["a.0", "a.1"], ["x", "b.1"]) == {"a.0": "x", "a.1": "b.1"}

    def test_json(self) -> None:
        text = json.dumps({"a": "b", "c.*": "d.*"})
        assert mapped(text, ["a", "c.1"], ["b", "d.1"]) == {"a": "b", "c.1": "d.1"}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "maps nothing"),
            ("a b", "line 1: 'a b' is no 'old -> new'"),
            ("x -> y\na ->", "line 2: 'a ->' is no"),
            ("a -> b -> c", "is no 'old -> new'"),
            ("a.* -> b", "has 1 stars before the arrow and 0 behind it"),
            ("/(/ -> b", "is no regular expression"),
            (r"/a/ -> \1", "is no regular expression"),
            ('{"a": 1}', "is no JSON object of texts"),
            ("{nonsense", "is no JSON object of texts"),
        ],
    )
    def test_what_is_wrong_is_said_before_anything_is_looked_up(self, text: str, said: str) -> None:
        with pytest.raises(UsageError) as caught:
            mapping.parse(text.encode(), "names.txt")
        assert said in caught.value.message
        assert caught.value.message.startswith("names.txt")

    def test_not_text(self) -> None:
        with pytest.raises(UsageError, match="not UTF-8"):
            mapping.parse(b"\xff\xfe", "names.txt")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("zz -> b", "fits no tensor"),
            ("a -> zz", "turns 'a' into 'zz', which is not there"),
            ("a -> b\nc -> b", "'a' and 'c' both become 'b'"),
        ],
    )
    def test_lines_that_do_not_fit_the_versions(self, text: str, said: str) -> None:
        with pytest.raises(UsageError) as caught:
            mapped(text, ["a", "c"], ["b"])
        assert said in caught.value.message
