"""What speaks against a merge before anything is read."""

from __future__ import annotations

import json

import pytest

from lepton_ai.history.merging.compatibility import Finding, meanings, tells


def said(path: str, mine: str, its: str) -> list[Finding]:
    return meanings({path: mine.encode()}, {path: its.encode()})


class TestLabels:
    def test_swapped(self) -> None:
        mine, its = '{"id2label": {"0": "cat", "1": "dog"}}', '{"id2label": {"0": "dog", "1": "cat"}}'
        assert said("config.json", mine, its) == [
            Finding(
                "labels", "config.json:id2label", "2 have another number ('cat' 0 and 1, 'dog' 1 and 0)", True
            )
        ]

    def test_another_label_for_a_number(self) -> None:
        mine, its = '{"label2id": {"cat": 0, "dog": 1}}', '{"label2id": {"cat": 0, "bird": 1}}'
        finding = said("sub/config.json", mine, its)[0]
        assert finding.where == "sub/config.json:label2id"
        assert finding.grave
        assert "1 numbers mean something else (1 is 'dog' or 'bird')" in finding.said

    def test_more_labels_on_a_side_are_told(self) -> None:
        mine, its = '{"id2label": {"0": "cat"}}', '{"id2label": {"0": "cat", "1": "dog"}}'
        assert said("config.json", mine, its) == [
            Finding("labels", "config.json:id2label", "1 only in theirs ('dog')", False)
        ]

    @pytest.mark.parametrize(
        ("path", "mine", "its"),
        [
            ("class_names.json", '["cat", "dog"]', '["dog", "cat"]'),
            ("class_names.txt", "cat\ndog\n", "dog\ncat\n"),
            ("labels.txt", "cat\r\ndog", "dog\ncat"),
            ("labels.json", '{"0": "cat", "1": "dog"}', '{"cat": 1, "dog": 0}'),
            ("config.json", '{"class_names": ["cat", "dog"]}', '{"class_names": ["dog", "cat"]}'),
            ("vocab.txt", "cat\ndog\n", "dog\ncat\n"),
            ("vocab.json", '{"cat": 0, "dog": 1}', '{"cat": 1, "dog": 0}'),
            ("added_tokens.json", '{"cat": 0, "dog": 1}', '{"cat": 1, "dog": 0}'),
            (
                "tokenizer.json",
                '{"model": {"vocab": {"cat": 0, "dog": 1}}}',
                '{"model": {"vocab": {"cat": 1, "dog": 0}}}',
            ),
            (
                "tokenizer.json",
                '{"model": {"vocab": [["cat", -1], ["dog", -2]]}}',
                '{"model": {"vocab": [["dog", -1], ["cat", -2]]}}',
            ),
            (
                "tokenizer.json",
                '{"added_tokens": [{"id": 0, "content": "cat"}, {"id": 1, "content": "dog"}]}',
                '{"added_tokens": [{"id": 1, "content": "cat"}, {"id": 0, "content": "dog"}]}',
            ),
        ],
    )  # fmt: skip
    def test_every_place_where_words_have_numbers(self, path: str, mine: str, its: str) -> None:
        assert tells(f"model/{path}")
        (finding,) = said(path, mine, its)
        assert finding.grave
        assert "2 have another number ('cat' 0 and 1, 'dog' 1 and 0)" in finding.said
        assert said(path, mine, mine) == []

    def test_many_are_shortened(self) -> None:
        mine, its = json.dumps([f"w{i}" for i in range(9)]), json.dumps([f"x{i}" for i in range(9)])
        assert said("labels.json", mine, its)[0].said == (
            "9 numbers mean something else (0 is 'w0' or 'x0', 1 is 'w1' or 'x1', 2 is 'w2' or 'x2'), "
            "9 only in ours ('w0', 'w1', 'w2', …), 9 only in theirs ('x0', 'x1', 'x2', …)"
        )

    def test_class_names_among_the_params(self) -> None:
        found = meanings({}, {}, ({"class_names": ["cat", "dog"]}, {"class_names": ["dog", "cat"]}))
        assert [(f.where, f.grave) for f in found] == [("params:class_names", True)]
        assert meanings({}, {}, ({"classes": [0, 1]}, {"classes": [1, 2]})) == []  # numbers of no words

    @pytest.mark.parametrize(
        "text", ["", "[", "7", "[1]", '{"id2label": 7}', '{"id2label": {"a": "b"}}', '{"model": []}']
    )
    @pytest.mark.parametrize("path", ["config.json", "tokenizer.json"])
    def test_files_that_are_not_what_their_names_say_tell_nothing(self, path: str, text: str) -> None:
        assert said(path, text, text + " ") == []

    def test_bytes_that_are_no_text_tell_nothing(self) -> None:
        assert meanings({"vocab.txt": b"\xff"}, {"vocab.txt": b"a"}) == []

    def test_other_files_are_not_asked_for(self) -> None:
        assert not tells("weights.safetensors")
        assert not tells("my-config.json")
