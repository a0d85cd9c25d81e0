"""Write Keras models in every file of Keras' own; run as a program, so that each test session imports Keras once.

Argument: the folder to write into. The backend is torch, which starts fastest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def classifier() -> Any:
    """A functional model with a nested one, several kinds of layers, a trained optimizer, two element types."""
    import keras
    import numpy as np
    from keras import layers

    inner = keras.Sequential(
        [keras.Input((6, 6, 2)), layers.Conv2D(3, 3, name="conv"), layers.Flatten()], name="inner"
    )
    image, word = keras.Input((6, 6, 2)), keras.Input((1,), dtype="int32")
    merged = layers.Concatenate()(
        [inner(image), layers.Flatten()(layers.Embedding(11, 4, name="words")(word))]
    )
    hidden = layers.BatchNormalization(name="norm")(layers.Dense(8, activation="relu", name="hidden")(merged))
    narrow = layers.Dense(4, dtype="bfloat16", name="narrow")(hidden)
    half = layers.Dense(4, dtype="float16", name="half")(hidden)
    output = layers.Dense(3, name="out", dtype="float32")(layers.Concatenate(dtype="float32")([narrow, half]))
    model = keras.Model([image, word], output, name="classifier")
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    images, words = rng.standard_normal((16, 6, 6, 2)).astype("float32"), rng.integers(0, 11, (16, 1))
    model.fit([images, words], rng.integers(0, 3, 16), epochs=1, verbose=0)
    return model


def deep() -> Any:
    """More layers than a group keeps in its header."""
    import keras

    return keras.Sequential([keras.Input((5,)), *(keras.layers.Dense(5) for _ in range(40))], name="deep")


def main(folder: Path) -> None:
    """Save both models, and beside each the values of its weights in order."""
    import numpy as np

    for name, model in (("classifier", classifier()), ("deep", deep())):
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
        model.save(folder / f"{name}.h5")
        values = {f"{n:03}": np.asarray(value, np.float64) for n, value in enumerate(model.get_weights())}
        np.savez(folder / f"{name}.npz", **values)


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "torch"
    main(Path(sys.argv[1]))
