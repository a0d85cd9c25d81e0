"""Write the files that fuzzing begins with: small, and each by the framework whose format it is.

They are committed, so that fuzzing needs no framework and a case can be made again anywhere: run this
(`python -m tests.formats.write_seeds`) when a format or a framework has learnt something new.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lepton_ai.testing.structure import zip_parts

SEEDS = Path(__file__).parent / "seeds"


def put(reader: str, name: str, data: bytes) -> None:
    """One file of a reader's seeds."""
    path = SEEDS / reader / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def put_all(reader: str, folder: str, files: Mapping[str, bytes]) -> None:
    """A sample of several files."""
    for name, data in files.items():
        put(reader, f"{folder}/{name}", data)


def without_traces(data: bytes) -> bytes:
    """An archive without the program, which tells the places of the source files that it came from."""
    archive = zip_parts.take_apart(data)
    archive.parts = [part for part in archive.parts if not part.name.endswith(b".debug_pkl")]
    for part in archive.parts:
        if part.name.endswith(b"/models/model.json"):
            part.data = b"{}"
    return zip_parts.put_together(archive)


def numpy_files() -> None:
    import numpy as np

    from tests.formats import test_npy, test_npz, test_safetensors

    for sample in (test_safetensors.every_type(), test_safetensors.edges()):
        put("safetensors", sample.main.lower(), sample.files[sample.main])
    matrix = np.arange(15, dtype=np.float32).reshape(3, 5)
    put("npy", "matrix.npy", test_npy.written(matrix))
    put("npy", "big_fortran.npy", test_npy.written(np.asfortranarray(matrix.astype(">f8"))))
    put("npy", "version2.npy", test_npy.written(matrix, (2, 0)))
    put("npy", "version3.npy", test_npy.written(np.zeros((2, 0, 3), np.int8), (3, 0)))
    arrays = {
        "weight": matrix,
        "layer/bias": matrix[0],
        "big": matrix.astype(">f2"),
        "empty": np.zeros(0),
        "n": np.array(7),
    }
    put("npz", "stored.npz", test_npz.zipped(False, **arrays))
    put("npz", "deflated.npz", test_npz.zipped(True, **arrays, zeros=np.zeros(9000)))


def torch_files() -> None:
    import torch

    from tests.formats import test_pt
    from tests.formats import torch_archives as made

    model = made.net()
    mixed, _ = test_pt.checkpoint()
    put("pt", "state.pt", made.saved(model.state_dict()))
    put(
        "pt",
        "program28.pt2",
        made.archive({"m/archive_format": b"pt2", "m/data/weights/m.pt": made.saved(mixed)}),
    )
    put("pt", "pickled.pt2", without_traces(pickled(made.exported(model), made)))
    put("pt", "rare.pt", made.saved(rare(torch)))
    put("pt", "every.pth", made.saved(made.every_type()))
    put("pt", "checkpoint.ckpt", made.saved(mixed))
    put("pt", "protocol4.bin", made.saved(model.state_dict(), pickle_protocol=4))
    put("pt", "module.pt", made.saved(model))
    put("pt", "script.ptl", without_traces(made.scripted(model)))
    put("pt", "program.pt2", without_traces(made.exported(model)))
    put("pt", "program27.pt2", test_pt.torch_2_7(model))
    put(
        "pt",
        "big.pt",
        test_pt.big_endian(made.saved({"a": torch.arange(6.0), "b": torch.arange(20.0)[3:9:2]})),
    )
    put("pt", "packed.pt", made.archive(made.members(made.saved(model.state_dict())), zipfile.ZIP_DEFLATED))


def rare(torch: Any) -> dict[str, Any]:
    """Tensors with attributes, of types that numpy has not, and views of them."""
    told, parameter = torch.ones(2), torch.nn.Parameter(torch.ones(3))
    told.origin, parameter.origin = "here", {"scale": torch.ones(1)}
    pairs = torch.zeros((4, 2), dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    halves = torch.zeros((4, 3), dtype=torch.complex32)
    return {"told": told, "parameter": parameter, "pairs": pairs, "halves": halves[::2], "turned": halves.t()}


def pickled(data: bytes, made: Any) -> bytes:
    """A program with one of its weights in a pickle."""
    content = made.members(data)
    path = next(name for name in content if name.endswith("data/weights/model_weights_config.json"))
    plain, other = b'"path_name": "weight_0", "is_param": true, "use_pickle": ', b'"path_name": "weight_9", '
    content[path] = content[path].replace(
        plain + b"false", other + b'"is_param": true, "use_pickle": true', 1
    )
    content[path.replace("model_weights_config.json", "weight_9")] = made.saved(
        made.net().first.weight.detach()
    )
    return made.archive(content)


def sklearn_files() -> None:
    from sklearn.ensemble import RandomForestClassifier

    from tests.formats import test_skops as made

    forest = RandomForestClassifier(2, max_depth=2, random_state=0).fit(made.FEATURES, made.LABELS)
    put("skops", "pipeline.skops", made.dumped(made.pipeline()))
    put("skops", "packed.skops", made.dumped(made.pipeline(), zipfile.ZIP_DEFLATED))
    put("skops", "forest.skops", made.dumped(forest, zipfile.ZIP_DEFLATED))


def onnx_files(folder: Path) -> None:
    from tests.formats import test_onnx as made

    for make in (made.perceptron, made.every_type, made.nested, made.trees):
        put("onnx", f"{make.__name__}.onnx", make()[0].SerializeToString())
    for name, one in (("one", True), ("many", False)):
        files = made.external(
            folder / name, all_tensors_to_one_file=one, location="weights.bin" if one else None
        ).files
        put_all("onnx", name, files)


def gguf_files(folder: Path) -> None:
    from tests.formats import test_gguf as made

    made.quantised(folder / "quantised.gguf")
    put("gguf", "quantised.gguf", (folder / "quantised.gguf").read_bytes())
    writer = made.gguf.GGUFWriter(folder / "plain.gguf", "llama")
    writer.add_array("tokens", [f"token{n}" for n in range(30)])
    writer.add_array("nested", [[1, 2], [3], [4, 5, 6]])
    writer.add_float64("number", 0.5)
    for dtype in (made.np.float32, made.np.float16, made.np.int8, made.np.int64):
        writer.add_tensor(f"blk.0.{dtype.__name__}.weight", made.np.ones((3, 5), dtype))
    made.close(writer)
    put("gguf", "plain.gguf", (folder / "plain.gguf").read_bytes())


def hdf5_files() -> None:
    import h5py
    import numpy as np

    from tests.formats import hdf5_files as made

    def long_index(file: h5py.File) -> None:
        file.create_dataset("fixed", data=np.arange(1100, dtype="u1"), chunks=(1,))
        file.create_dataset("tree", data=np.zeros((13, 12), "u1"), chunks=(1, 1), maxshape=(None, None))
        sparse = file.create_dataset("growing", (200_000,), "i4", chunks=(1,), maxshape=(None,))
        sparse[[2, 77, 123_450, 199_999]] = 5

    put("hdf5", "plain.h5", made.write(made.every_type, made.shapes, made.links))
    put("hdf5", "plain_latest.h5", made.write(made.every_type, made.shapes, made.links, libver="latest"))
    put("hdf5", "chunks.h5", made.write(made.chunks))
    put("hdf5", "chunks_latest.h5", made.write(made.chunks, libver="latest"))
    put("hdf5", "dense.weights.h5", made.write(made.many(100), libver="latest"))
    put("hdf5", "opaque.h5", made.write(made.opaque))
    put("hdf5", "index.h5", made.write(long_index, libver="latest"))


def xgboost_files() -> None:
    from tests.formats import test_xgboost as made

    for name, booster in made.boosters().items():
        if name != "deep":
            put("xgboost", f"{name}.ubj", bytes(booster.save_raw("ubj")))
            put("xgboost", f"{name}.json", bytes(booster.save_raw("json")))


def lightgbm_files() -> None:
    from tests.formats import test_lightgbm as made

    for name, booster in made.boosters().items():
        put("lightgbm", f"{name}.txt", booster.model_to_string().encode())


def tensorflow_files(folder: Path) -> None:
    import tensorflow as tf

    from tests.formats import test_savedmodel as made

    for make in (made.saved_model, made.sliced):
        files = make(folder / make.__name__).files
        put_all(
            "savedmodel",
            make.__name__,
            {n: data for n, data in files.items() if ".data-" in n or ".index" in n},
        )
    variables = {f"layer_{n:04}": tf.Variable(tf.fill((2,), float(n))) for n in range(150)}
    tf.train.Checkpoint(**variables).write(str(folder / "ckpt-1"))
    put_all("savedmodel", "blocks", {p.name: p.read_bytes() for p in folder.glob("ckpt-1*")})


def keras_files(folder: Path) -> None:
    import keras

    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2, dtype="bfloat16"),
        ]
    )
    model.save(folder / "model.keras")
    put("keras", "model.keras", (folder / "model.keras").read_bytes())


MAKERS = {
    "numpy": numpy_files, "torch": torch_files, "sklearn": sklearn_files, "onnx": onnx_files, "gguf": gguf_files,
    "hdf5": hdf5_files, "xgboost": xgboost_files, "lightgbm": lightgbm_files, "tensorflow": tensorflow_files,
    "keras": keras_files,
}  # fmt: skip
IN_A_FOLDER = {"onnx", "gguf", "tensorflow", "keras"}


def main() -> None:
    """All of them, each framework in a process of its own: some do not bear each other."""
    if len(sys.argv) == 1:
        shutil.rmtree(SEEDS, ignore_errors=True)
        for name in MAKERS:
            subprocess.run([sys.executable, "-m", "tests.formats.write_seeds", name], check=True)
        return
    name = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        MAKERS[name](*[Path(folder)] * (name in IN_A_FOLDER))


if __name__ == "__main__":
    main()
