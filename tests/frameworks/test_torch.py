from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lepton_ai.errors import Ambiguous, MissingExtra, Unsupported, Untrusted
from lepton_ai.formats.frameworks import framework_of, load, save
from lepton_ai.formats.frameworks.contract import Found
from lepton_ai.formats.frameworks.torch import FRAMEWORK, Torch
from lepton_ai.testing.frameworks import Example, FrameworkSuite, files_in, names, there_and_back

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = pytest.mark.frameworks


class Small(nn.Module):
    """Dropout and batch norm: evaluation differs from training."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.drop(torch.relu(self.norm(self.first(x)))))


class Unscriptable(Small):
    """TorchScript has no generators."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(super(Unscriptable, self).forward(x) * weight for weight in (0.25, 0.75))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(x))


class Named(nn.Module):
    def forward(self, a: torch.Tensor, *, b: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sum": a + b["inner"]}


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(5, 8, generator=torch.Generator().manual_seed(1))


def predictions(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(x)


def test_owns_torch_objects_only(rows: torch.Tensor) -> None:
    assert framework_of(Small()).name == "torch"
    assert framework_of({"w": rows}).name == "torch"
    assert framework_of({"state": {"w": rows}, "epoch": 3}).name == "torch"
    for other in ({}, {"w": [1.0]}, rows.numpy(), torch.optim.SGD(Small().parameters())):
        assert not FRAMEWORK.owns(other)


class TestSuite(FrameworkSuite):
    @pytest.fixture
    def framework(self) -> Torch:
        return FRAMEWORK

    @pytest.fixture
    def examples(self, rows: torch.Tensor) -> list[Example]:
        model = Small()
        expected = predictions(model, rows)
        state = model.state_dict()

        def same_tensors(back: dict[str, torch.Tensor]) -> bool:
            return list(back) == sorted(state) and all(torch.equal(back[name], state[name]) for name in state)

        def same_answers(back: nn.Module) -> bool:
            return torch.equal(back(rows), expected)

        example = {"example_inputs": rows}
        return [
            Example(state, same_tensors),
            Example(model, same_tensors, "safetensors"),
            Example(model, same_answers, None, example),
            Example(model, same_answers, "pt2", example),
            Example(model, lambda back: torch.equal(predictions(back, rows), expected), "torchscript"),
            Example(model, lambda back: same_tensors(dict(sorted(back.items()))), "state_dict"),
        ]


def test_default_is_safetensors_and_a_pt2_program(tmp_path: Path, rows: torch.Tensor) -> None:
    model = Small().train()
    model.norm.eval()
    saved, program = there_and_back(model, tmp_path, trust=True, example_inputs=rows)
    assert names(saved) == ["model_v1.pt2", "model_v1.safetensors"]
    assert saved.note == ""
    assert model.training
    assert not model.norm.training
    for batch in (rows, rows[:1], rows.repeat(7, 1)):
        assert torch.equal(program(batch), predictions(model, batch))


def test_one_row_example_makes_a_program_for_any_batch(tmp_path: Path, rows: torch.Tensor) -> None:
    model = Small()
    _, program = there_and_back(model, tmp_path, "pt2", trust=True, example_inputs=rows[:1])
    assert torch.equal(program(rows), predictions(model, rows))


def test_named_nested_numpy_inputs(tmp_path: Path, rows: torch.Tensor) -> None:
    example = {"a": rows.numpy(), "b": {"inner": rows}}
    _, program = there_and_back(Named(), tmp_path, "pt2", trust=True, example_inputs=example)
    assert torch.equal(program(a=rows[:2], b={"inner": rows[:2]})["sum"], rows[:2] * 2)


def test_fixed_shapes_are_said(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[0] != 1:
                raise ValueError("one row only")
            return x + 1

    saved, program = there_and_back(Fixed(), tmp_path, "pt2", trust=True, example_inputs=torch.ones(1, 2))
    assert "exactly" in saved.note
    assert torch.equal(program(torch.ones(1, 2)), torch.ones(1, 2) + 1)


def test_lightning_style_example_is_used(tmp_path: Path, rows: torch.Tensor) -> None:
    model = Small()
    model.example_input_array = rows
    assert names(save(model, tmp_path, "m")) == ["m.pt2", "m.safetensors"]


def test_program_keeps_neither_example_nor_paths_of_the_machine(tmp_path: Path) -> None:
    example = torch.full((2, 8), 123.4375)
    save(Small(), tmp_path, "m", "pt2", example_inputs=example)
    with zipfile.ZipFile(tmp_path / "m.pt2") as archive:
        whole = b"".join(archive.read(name) for name in archive.namelist())
    assert example.numpy().tobytes() not in whole
    assert str(Path(__file__).parent).encode() not in whole


def test_without_example_the_program_is_torchscript(tmp_path: Path, rows: torch.Tensor) -> None:
    model = Small()
    saved, program = there_and_back(model, tmp_path, trust=True)
    assert names(saved) == ["model_v1.pt", "model_v1.safetensors"]
    assert "example_inputs" in saved.note
    assert isinstance(program, torch.jit.ScriptModule)
    assert torch.equal(predictions(program, rows), predictions(model, rows))


def test_without_any_program_the_note_says_why_and_tensors_come_back(tmp_path: Path) -> None:
    model = Unscriptable()
    saved, tensors = there_and_back(model, tmp_path)
    assert names(saved) == ["model_v1.safetensors"]
    assert "only the tensors are saved" in saved.note
    assert "example_inputs" in saved.note
    model.load_state_dict(tensors)


def test_default_never_traces(tmp_path: Path, rows: torch.Tensor) -> None:
    """A trace would be wrong for inputs that branch otherwise."""

    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return sum(row for row in (x, x)) if x.sum() > 0 else -x

    saved = save(Branching(), tmp_path, "m", example_inputs=rows)
    assert names(saved) == ["m.safetensors"]


def test_safetensors_alone(tmp_path: Path, rows: torch.Tensor) -> None:
    model = Small()
    saved, tensors = there_and_back(model, tmp_path, "safetensors", example_inputs=rows)
    assert names(saved) == ["model_v1.safetensors"]
    fresh = Small()
    fresh.load_state_dict(tensors)
    assert torch.equal(predictions(fresh, rows), predictions(model, rows))


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float64, torch.int8, torch.bool]
)
def test_dict_of_tensors_keeps_every_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.arange(-6, 6).reshape(3, 4).to(torch.float32).to(dtype)
    tensors = {
        "w": values,
        "transposed": values.T,
        "row": values[1],
        "scalar": values[0, 0],
        "none": values[:0],
    }
    _, back = there_and_back(tensors, tmp_path)
    assert sorted(back) == sorted(tensors)
    for name, tensor in tensors.items():
        assert back[name].dtype == dtype
        assert back[name].shape == tensor.shape
        assert bits(back[name]) == bits(tensor)


def bits(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().flatten().view(torch.uint8).tolist())


def test_tied_weights_are_kept_once_and_come_back_tied(tmp_path: Path) -> None:
    from safetensors.torch import load_file, load_model

    model = Tied()
    saved, tensors = there_and_back(model, tmp_path, "safetensors")
    path = tmp_path / "moved" / saved.paths[0].name
    assert list(load_file(path)) == ["embed.weight"]
    assert tensors["head.weight"].data_ptr() == tensors["embed.weight"].data_ptr()
    fresh = Tied()
    fresh.load_state_dict(tensors)
    assert torch.equal(fresh.head.weight, model.head.weight)
    assert load_model(Tied(), path) == (set(), []), "safetensors' own reader understands the record"


def test_tied_program(tmp_path: Path) -> None:
    model, ids = Tied(), torch.tensor([1, 2, 3])
    _, program = there_and_back(model, tmp_path, trust=True, example_inputs=ids)
    assert torch.equal(program(ids), predictions(model, ids))


def test_loaded_tensors_do_not_depend_on_the_file(tmp_path: Path) -> None:
    save({"w": torch.ones(4096)}, tmp_path, "m")
    back = load(tmp_path, ["m.safetensors"])
    path = tmp_path / "m.safetensors"
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    assert torch.equal(back["w"], torch.ones(4096))


def test_sharded_safetensors_are_one_model(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.ones(2)}, tmp_path / "model-00002-of-00002.safetensors")
    files = files_in(tmp_path)
    with pytest.raises(Ambiguous, match="model-00001"):
        load(tmp_path, files)
    index = {"weight_map": {"a": files[0], "b": files[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    back = load(tmp_path, files_in(tmp_path))
    assert sorted(back) == ["a", "b"]


def test_index_cannot_point_outside(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors.index.json").write_text('{"weight_map": {"a": "../secret.safetensors"}}')
    with pytest.raises(Unsupported, match="outside"):
        load(tmp_path, files_in(tmp_path))


def test_what_safetensors_cannot_hold(tmp_path: Path) -> None:
    for odd in ({"w": torch.ones(1), "epoch": 3}, {"w": torch.ones(2, 2).to_sparse()}, {3: torch.ones(1)}):
        with pytest.raises(Unsupported, match="safetensors holds") as refusal:
            save(odd, tmp_path, "m")
        assert "state_dict" in refusal.value.hint
    with pytest.raises(Unsupported, match="meta device"):
        save({"w": torch.empty(2, device="meta")}, tmp_path, "m")


def test_state_dict(tmp_path: Path) -> None:
    checkpoint = {"model": Small().state_dict(), "epoch": 3}
    _, back = there_and_back(checkpoint, tmp_path, "state_dict")
    assert back["epoch"] == 3
    assert torch.equal(back["model"]["last.bias"], checkpoint["model"]["last.bias"])


def test_torchscript_by_scripting_and_by_tracing(tmp_path: Path, rows: torch.Tensor) -> None:
    model = Unscriptable()
    with pytest.raises(Unsupported, match="TorchScript"):
        save(model, tmp_path, "m", "torchscript")
    _, traced = there_and_back(model, tmp_path / "traced", "torchscript", trust=True, example_inputs=rows)
    assert torch.equal(predictions(traced, rows), predictions(model, rows))
    _, again = there_and_back(traced, tmp_path / "again", trust=True)
    assert torch.equal(predictions(again, rows), predictions(model, rows))


def test_exported_program_is_saved_as_it_is(tmp_path: Path, rows: torch.Tensor) -> None:
    model = Small().eval()
    program = torch.export.export(model, (rows,))
    saved, back = there_and_back(program, tmp_path, trust=True)
    assert names(saved) == ["model_v1.pt2"]
    assert torch.equal(back(rows), predictions(model, rows))
    with pytest.raises(Unsupported, match="torchscript"):
        save(program, tmp_path, "m", "torchscript")


@pytest.mark.parametrize("example", [5, 1])
def test_onnx_by_either_exporter(tmp_path: Path, rows: torch.Tensor, example: int) -> None:
    """Whichever is installed: torch's new exporter needs onnxscript."""
    runtime = pytest.importorskip("onnxruntime")
    model = Small()
    saved, program = there_and_back(model, tmp_path, "onnx", example_inputs=rows[:example])
    assert names(saved) == ["model_v1.onnx"]
    session = runtime.InferenceSession(program.SerializeToString())
    (answer,) = session.run(None, {"x": rows[:3].numpy()})
    assert torch.allclose(torch.from_numpy(answer), predictions(model, rows[:3]), atol=1e-6)


def test_formats_that_need_an_example_say_so(tmp_path: Path) -> None:
    for wanted in ("pt2", "onnx"):
        with pytest.raises(Unsupported) as refusal:
            save(Small(), tmp_path, "m", wanted)
        assert "example_inputs" in refusal.value.hint


def test_wrapped_models_keep_their_own_names(tmp_path: Path) -> None:
    model = Small()
    for wrapped in (nn.DataParallel(model), torch.compile(model, backend="eager")):
        save(wrapped, tmp_path, "m", "safetensors")
        assert sorted(load(tmp_path, ["m.safetensors"])) == sorted(model.state_dict())


def test_dict_has_fewer_formats(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as refusal:
        save({"w": torch.ones(1)}, tmp_path, "m", "pt2")
    assert refusal.value.hint == "format= takes safetensors, state_dict"


# ---- trust


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def refuse(folder: Path, file: str, ran: Path, why: str) -> None:
    with pytest.raises(Untrusted, match=why) as refusal:
        load(folder, [file])
    assert "trust=True" in refusal.value.hint
    assert not ran.exists()


def test_pickle_in_a_state_dict_is_refused_before_it_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    torch.save({"w": torch.ones(1), "evil": Payload(ran)}, tmp_path / "m.pt")
    refuse(tmp_path, "m.pt", ran, "pickle.*mkdir")
    load(tmp_path, ["m.pt"], trust=True)
    assert ran.exists(), "the payload works: the refusal is what stopped it"


def test_old_pickle_file_is_refused_before_it_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "m.pth").write_bytes(pickle.dumps(Payload(ran), protocol=2))
    refuse(tmp_path, "m.pth", ran, "pickle")


def test_torch_whose_safe_loading_is_not_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save({"w": torch.ones(1)}, tmp_path, "m", "state_dict")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(Unsupported, match="CVE-2025-32434"):
        load(tmp_path, ["m.pt"])
    assert torch.equal(load(tmp_path, ["m.pt"], trust=True)["w"], torch.ones(1))


def test_whole_pickled_module_needs_trust(tmp_path: Path, rows: torch.Tensor) -> None:
    model = Small()
    torch.save(model, tmp_path / "m.pt")
    with pytest.raises(Untrusted, match="Small"):
        load(tmp_path, ["m.pt"])
    assert torch.equal(predictions(load(tmp_path, ["m.pt"], trust=True), rows), predictions(model, rows))


def test_pt2_can_run_code_and_is_refused_before_it_does(tmp_path: Path, rows: torch.Tensor) -> None:
    """A size's expression is evaluated as Python: the reason why a .pt2 asks for trust."""
    ran = tmp_path / "ran"
    save(Small(), tmp_path, "good", "pt2", example_inputs=rows)
    code = f"__import__('pathlib').Path('{ran}').touch()"
    with zipfile.ZipFile(tmp_path / "good.pt2") as good, zipfile.ZipFile(tmp_path / "m.pt2", "w") as evil:
        for member in good.infolist():
            data = good.read(member).decode("latin-1")
            if member.filename.endswith("/model.json"):
                data = re.sub(r"Symbol\('s\d+'[^\"]*\)", code, data)
            evil.writestr(member.filename, data.encode("latin-1"))
    refuse(tmp_path, "m.pt2", ran, "expressions as Python")
    with pytest.raises(Unsupported):
        load(tmp_path, ["m.pt2"], trust=True)
    assert ran.exists(), "the payload works: the refusal is what stopped it"


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning")
def test_torchscript_can_run_code_and_is_refused_before_it_does(tmp_path: Path) -> None:
    """``__setstate__`` runs while the file is read, and TorchScript can write files."""
    ran = tmp_path / "ran"

    class Evil(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.name = str(ran)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

        @torch.jit.export
        def __getstate__(self) -> tuple[str, bool]:
            return self.name, self.training

        @torch.jit.export
        def __setstate__(self, state: tuple[str, bool]) -> None:
            self.name = state[0]
            self.training = state[1]
            torch.save(torch.ones(1), state[0])

    torch.jit.script(Evil()).save(str(tmp_path / "m.pt"))
    refuse(tmp_path, "m.pt", ran, "TorchScript")
    load(tmp_path, ["m.pt"], trust=True)
    assert ran.exists(), "the payload works: the refusal is what stopped it"


# ---- choosing, and what is missing


def test_program_goes_before_tensors(tmp_path: Path, rows: torch.Tensor) -> None:
    save(Small(), tmp_path, "m", example_inputs=rows)
    save(Small(), tmp_path, "m", "state_dict")
    found = FRAMEWORK.finds(tmp_path, files_in(tmp_path))
    assert max(found, key=lambda each: each.richness).path == "m.pt2"
    assert Found("m.pt", 20) in found


def test_other_zips_and_bins_are_not_models(tmp_path: Path) -> None:
    (tmp_path / "vocab.bin").write_bytes(b"\x80\x02nothing")
    with zipfile.ZipFile(tmp_path / "data.bin", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert FRAMEWORK.finds(tmp_path, files_in(tmp_path)) == []
    torch.save({"w": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    assert [found.path for found in FRAMEWORK.finds(tmp_path, files_in(tmp_path))] == ["pytorch_model.bin"]


@pytest.mark.parametrize("file", ["m.safetensors", "m.pt", "m.pt2"])
def test_broken_files_are_one_plain_error(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises((Unsupported, Untrusted), match=re.escape(file)):
        load(tmp_path, [file], trust=True)


@pytest.mark.parametrize("package", ["torch", "safetensors.torch"])
def test_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra) as refusal:
        save({"w": torch.ones(1)}, tmp_path, "m")
    assert refusal.value.hint == "pip install 'lepton-ai[torch]'"


def test_untrusted_program_is_refused_without_torch(tmp_path: Path, rows: torch.Tensor) -> None:
    save(Small(), tmp_path, "m", "pt2", example_inputs=rows)
    code = (
        "import sys, pathlib; from lepton_ai.formats.frameworks import load\n"
        "from lepton_ai.errors import Untrusted\n"
        "try: load(pathlib.Path(sys.argv[1]), ['m.pt2'])\n"
        "except Untrusted: sys.exit('torch' in sys.modules)\n"
        "sys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
