"""Keys: made, wrapped, opened, rotated, lost."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from lepton_ai.errors import (
    AlreadyExists,
    Damaged,
    InUse,
    InvalidName,
    KeyMissing,
    NotFound,
    TooNew,
    Unsupported,
)
from lepton_ai.store.seal import texts
from lepton_ai.store.seal.envelopes import BY_RECOVERY, wrap
from lepton_ai.store.seal.keyring import Keyring, default_key_file, open_keys

ID = "0123abcd"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's config folder of our own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LEPTON_AI_KEY_FILE", raising=False)
    return tmp_path / "config"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "repo" / "keys"


def _same(one: Keyring, other: Keyring) -> bool:
    """Whether two rings open each other's objects."""
    body = b"".join(one.current.seal(b"payload", b"x"))
    opened = other.opener(one.current.number, one.current.key_id).open(body, b"x")
    return one.id_key == other.id_key and bytes(opened) == b"payload"


def test_the_default_key_file_opens_without_asking(folder: Path, config: Path) -> None:
    ring = Keyring.create(folder, ID)
    path = ring.wrap_with_key_file()
    assert ring.encrypted
    assert config in path.parents
    assert path == default_key_file(ID)
    assert path.relative_to(config).parts[-3:] == ("lepton-ai", "keys", f"{ID}.key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert _same(ring, open_keys(folder, ID))


def test_nothing_in_the_folder_is_a_key_in_clear(folder: Path) -> None:
    ring = Keyring.create(folder, ID)
    ring.wrap_with_passphrase("correct horse")
    texts_ = [path.read_bytes() for path in folder.glob("*")]
    import base64

    for secret in (ring.id_key, ring._secret):
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert not any(form in text for text in texts_)


def test_without_a_key_the_error_says_what_to_do(folder: Path) -> None:
    Keyring.create(folder, ID).wrap_with_key_file()
    default_key_file(ID).unlink()
    with pytest.raises(KeyMissing) as caught:
        open_keys(folder, ID)
    assert "LEPTON_AI_KEY_FILE" in str(caught.value)
    assert str(default_key_file(ID)) in str(caught.value)


def test_the_variable_names_a_key_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Keyring.create(folder, ID)
    path = ring.wrap_with_key_file(tmp_path / "ci.key")
    assert not default_key_file(ID).exists()
    with pytest.raises(KeyMissing):
        open_keys(folder, ID)
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(path))
    assert _same(ring, open_keys(folder, ID))


def test_the_variable_may_name_a_recovery_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Keyring.create(folder, ID)
    key = ring.wrap_with_recovery_key(tmp_path / "recovery.txt")
    assert key in (tmp_path / "recovery.txt").read_text()
    assert stat.S_IMODE((tmp_path / "recovery.txt").stat().st_mode) == 0o600
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(tmp_path / "recovery.txt"))
    assert _same(ring, open_keys(folder, ID))


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("other", "is not for it"),
        ("text", "neither a key file nor"),
        ("nothing", "there is no "),
    ],
)
def test_a_variable_that_names_no_fitting_file_is_told_though_the_default_one_fits(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, why: str
) -> None:
    ring = Keyring.create(folder, ID)
    ring.wrap_with_key_file()
    Keyring.create(tmp_path / "keys of another", "other").wrap_with_key_file(tmp_path / "other")
    (tmp_path / "text").write_text("garbage")
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(tmp_path / named))
    with pytest.raises(KeyMissing, match=why) as caught:
        open_keys(folder, ID)
    assert "LEPTON_AI_KEY_FILE" in str(caught.value)
    assert str(tmp_path / named) in str(caught.value)
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", "")
    assert _same(ring, open_keys(folder, ID))


def test_the_variable_may_begin_with_the_home_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Keyring.create(folder, ID)
    ring.wrap_with_key_file(tmp_path / "ci.key")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", "~/ci.key")
    assert _same(ring, open_keys(folder, ID))


def test_a_passphrase(folder: Path) -> None:
    ring = Keyring.create(folder, ID)
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        return "Gr\u00f6\u00dfe"

    ring.wrap_with_key_file()
    open_keys(folder, ID, passphrase=ask)
    assert not asked, "nobody is asked while a key file fits"
    default_key_file(ID).unlink()
    with pytest.raises(KeyMissing):
        open_keys(folder, ID, passphrase=ask)
    assert not asked, "nobody is asked where no passphrase could fit"
    ring.wrap_with_passphrase("Gro\u0308\u00dfe")
    assert _same(ring, open_keys(folder, ID, passphrase=ask))
    assert asked
    assert _same(ring, open_keys(folder, ID, passphrase="Gr\u00f6\u00dfe"))
    with pytest.raises(KeyMissing, match="passphrase does not fit"):
        open_keys(folder, ID, passphrase="other")


def test_rotation_adds_a_key_and_old_objects_stay_readable(folder: Path) -> None:
    ring = Keyring.create(folder, ID)
    ring.wrap_with_key_file()
    running = open_keys(folder, ID)
    before = ring.current
    old = b"".join(before.seal(b"old", b""))
    new_id = ring.rotate()
    assert ring.current.key_id.hex() == new_id != before.key_id.hex()
    new = b"".join(ring.current.seal(b"new", b""))
    for other in (ring, open_keys(folder, ID), running):
        assert other.opener(1, before.key_id).open(old, b"") == b"old"
        assert other.opener(1, ring.current.key_id).open(new, b"") == b"new"
    assert open_keys(folder, ID).current.key_id == ring.current.key_id
    assert ring.rotate() != new_id


def test_two_that_rotate_at_once_lose_nothing(folder: Path) -> None:
    one = Keyring.create(folder, ID)
    one.wrap_with_key_file()
    two = open_keys(folder, ID)
    ids = {one.rotate(), two.rotate(), one.current.key_id.hex()}
    third = open_keys(folder, ID)
    for id_ in ids:
        third.opener(1, bytes.fromhex(id_))
    assert one.rotate() == open_keys(folder, ID).current.key_id.hex()


def test_envelopes_come_and_go_but_the_last_stays(folder: Path, tmp_path: Path) -> None:
    ring = Keyring.create(folder, ID)
    ring.wrap_with_key_file()
    ring.wrap_with_recovery_key(tmp_path / "r")
    ring.wrap_with_key_file(tmp_path / "ci.key", name="ci")
    assert ring.envelopes() == ["ci", "key-file", "recovery"]
    with pytest.raises(AlreadyExists):
        ring.wrap_with_key_file(tmp_path / "another.key")
    with pytest.raises(AlreadyExists, match="already"):
        ring.wrap_with_key_file(tmp_path / "ci.key", name="new")
    with pytest.raises(AlreadyExists, match="recovery"):
        ring.wrap_with_key_file(tmp_path / "r", name="new")
    with pytest.raises(AlreadyExists):
        ring.wrap_with_recovery_key(tmp_path / "r", name="new")
    with pytest.raises(InvalidName):
        ring.wrap_with_passphrase("x", name="../out")
    ring.remove_envelope("ci")
    with pytest.raises(NotFound):
        ring.remove_envelope("ci")
    ring.remove_envelope("key-file")
    with pytest.raises(InUse):
        ring.remove_envelope("recovery")
    with pytest.raises(KeyMissing):
        open_keys(folder, ID)


def test_without_encryption_the_id_key_stands_in_clear(folder: Path) -> None:
    ring = Keyring.create(folder, ID, encrypt=False)
    assert [path.name for path in folder.iterdir()] == ["plain.json"]
    again = open_keys(folder, ID)
    assert again.id_key == ring.id_key
    assert not again.encrypted
    assert again.current.number == 0
    for act in (again.rotate, again.wrap_with_key_file, lambda: again.wrap_with_passphrase("x")):
        with pytest.raises(Unsupported):
            act()


def test_keys_are_not_made_twice(folder: Path) -> None:
    Keyring.create(folder, ID)
    for encrypt in (True, False):
        with pytest.raises(AlreadyExists):
            Keyring.create(folder, ID, encrypt=encrypt)
    with pytest.raises(InvalidName):
        Keyring.create(folder.parent / "new", "../up")


def test_unknown_keys_and_seals(folder: Path) -> None:
    ring = Keyring.create(folder, ID)
    with pytest.raises(KeyMissing):
        ring.opener(1, b"12345678")
    with pytest.raises(TooNew):
        ring.opener(9, ring.current.key_id)


@pytest.mark.parametrize("kind", ["id", "sealing", "envelope"])
def test_damaged_files_are_named_or_do_not_fit(folder: Path, kind: str) -> None:
    ring = Keyring.create(folder, ID)
    ring.wrap_with_key_file()
    (path,) = folder.glob(f"{kind}*.json")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Damaged, match=path.name):
        open_keys(folder, ID)
    path.write_bytes(json.dumps(json.loads(whole) | {"format": 2}).encode())
    with pytest.raises(TooNew):
        open_keys(folder, ID)
    for field in ("sealed", "nonce"):
        path.write_bytes(json.dumps(json.loads(whole) | {field: "AAAA" * 4}).encode())
        with pytest.raises((Damaged, KeyMissing)):
            open_keys(folder, ID)
    path.write_bytes(json.dumps(json.loads(whole) | {"repository": "other"}).encode())
    with pytest.raises((Damaged, KeyMissing)):
        open_keys(folder, ID)
    path.write_bytes(whole)
    assert _same(ring, open_keys(folder, ID))


@pytest.mark.parametrize("junk", ["{}", "", '{"format": 9}', None])
def test_an_unreadable_envelope_locks_nobody_out(folder: Path, tmp_path: Path, junk: str | None) -> None:
    ring = Keyring.create(folder, ID)
    key = ring.wrap_with_key_file()
    ring.wrap_with_passphrase("x")
    bad = folder / "envelope-aa.json"
    if junk is None:
        bad.mkdir()
    else:
        bad.write_text(junk)
    assert _same(ring, open_keys(folder, ID))
    ring.wrap_with_key_file(tmp_path / "second.key", name="second")
    with pytest.raises(AlreadyExists, match="opens the repository already"):
        ring.wrap_with_key_file(key, name="third")
    key.unlink()
    with pytest.raises(KeyMissing, match=r"there is no .*envelope-aa\.json"):
        open_keys(folder, ID)
    assert _same(ring, open_keys(folder, ID, passphrase="x"))


def test_a_file_that_appears_meanwhile_is_not_replaced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Keyring.create(folder, ID)
    place = tmp_path / "there"
    place.write_text("another one's key")
    monkeypatch.setattr(Path, "exists", lambda _: False)  # as it was a moment ago
    with pytest.raises(AlreadyExists):
        ring.wrap_with_recovery_key(place)
    with pytest.raises(AlreadyExists):
        ring.wrap_with_key_file(place)
    assert place.read_text() == "another one's key"
    assert ring.envelopes() == []


def test_of_two_passphrases_a_senseless_one_does_not_matter(folder: Path) -> None:
    ring = Keyring.create(folder, ID)
    ring.wrap_with_passphrase("x", name="a")
    ring.wrap_with_passphrase("y", name="b")
    path = folder / "envelope-a.json"
    path.write_bytes(json.dumps(json.loads(path.read_bytes()) | {"argon2id": None}).encode())
    assert _same(ring, open_keys(folder, ID, passphrase="y"))


def test_a_sealing_key_under_another_name_is_refused(folder: Path) -> None:
    ring = Keyring.create(folder, ID)
    ring.wrap_with_key_file()
    (path,) = folder.glob("sealing-*.json")
    fields = json.loads(path.read_bytes())
    for change in ({"id": "00" * 8}, {"number": 7}, {"purpose": "id"}):
        path.write_bytes(json.dumps(fields | change).encode())
        with pytest.raises(Damaged):
            open_keys(folder, ID)


def test_a_greedy_passphrase_envelope_takes_no_memory(folder: Path) -> None:
    ring = Keyring.create(folder, ID)
    ring.wrap_with_passphrase("x")
    (path,) = folder.glob("envelope-*.json")
    fields = json.loads(path.read_bytes())
    for change in (
        {"memory": 1 << 30},
        {"iterations": 10**9},
        {"lanes": 10**6},
        {"memory": 1},
        {"iterations": -1},
    ):
        path.write_bytes(json.dumps(fields | {"argon2id": fields["argon2id"] | change}).encode())
        with pytest.raises(Damaged):
            open_keys(folder, ID, passphrase="x")
    path.write_bytes(json.dumps(fields | {"argon2id": None}).encode())
    with pytest.raises(Damaged):
        open_keys(folder, ID, passphrase="x")


# -- texts ------------------------------------------------------------------------------------------------------------


def test_recovery_keys_forgive_how_they_are_typed() -> None:
    secret = bytes(range(20))
    key = texts.recovery_key(secret)
    assert [len(group) for group in key.split("-")] == [4] * 9
    for typed in (key, key.lower(), key.replace("-", ""), key.replace("-", " "), f"  {key}"):
        assert texts.parse_recovery_key(typed) == secret
    for zero, one in (("O", "I"), ("o", "l")):
        assert texts.parse_recovery_key(key.replace("0", zero).replace("1", one)) == secret


def test_mistyped_recovery_keys_are_noticed() -> None:
    key = texts.recovery_key(os.urandom(20))
    for place, character in enumerate(key):
        if character != "-":
            wrong = "7" if character != "7" else "8"
            with pytest.raises(KeyMissing):
                texts.parse_recovery_key(key[:place] + wrong + key[place + 1 :])
    for wrong in ("", key[:-1], key + "0", key.replace("-", "!"), key[:-1] + "U"):
        with pytest.raises(KeyMissing):
            texts.parse_recovery_key(wrong)


def test_key_files_are_checked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Keyring.create(folder, ID)
    path = ring.wrap_with_key_file(tmp_path / "k")
    text = path.read_text()
    assert texts.parse_key_text(text, "k")[:2] == (texts.KEY_FILE, ID)
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(path))
    damaged = [
        "", "hello", text.replace("file 1", "file 2"), text.replace("key:", "kay:"), text.replace("check:", "chuck:"),
        text[:-9] + "0" * 8 + "\n", text.replace("key: ", "key: 0"), text.replace("key: ", "key: zz"),
    ]  # fmt: skip
    for wrong in damaged:
        path.write_text(wrong)
        with pytest.raises(KeyMissing, match=r"k is (damaged|neither)"):
            open_keys(folder, ID)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KeyMissing):
        open_keys(folder, ID)
    path.write_text(text.replace("\n", "\r\n"))
    assert _same(ring, open_keys(folder, ID))


def test_a_key_from_the_wrong_kind_of_envelope_does_not_fit(folder: Path, tmp_path: Path) -> None:
    ring = Keyring.create(folder, ID)
    envelope = wrap(ring._secret, BY_RECOVERY, ID, b"x" * 20)
    from lepton_ai.store.seal.envelopes import unwrap

    assert unwrap(envelope, b"x" * 20) == ring._secret
    assert unwrap(envelope, b"y" * 20) is None
