"""The journey that ``lepton demo`` makes, as text: what is printed is exactly what runs.

Python steps share one namespace; ``$`` lines are run by the program itself. A ``cd`` lasts to the end of its step.
"""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """A title, what it shows, and the code: Python, or ``$ lepton …`` lines.

    ``needs`` is a package; without it the step is left out.
    """

    title: str
    why: str
    code: str
    needs: str = ""


TOUR = (
    Step(
        "Train a real model",
        "A neural network on the 1,797 handwritten digits that ship inside scikit-learn.",
        """
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

digits = load_digits()
x, x_test, y, y_test = train_test_split(digits.data / 16, digits.target, test_size=0.4, random_state=0)
model = MLPClassifier((256, 128), random_state=0)
for epoch in range(6):
    model.partial_fit(x, y, classes=range(10))
accuracy = model.score(x_test, y_test)
print(f"accuracy {accuracy:.3f}")
""",
    ),
    Step(
        "Save it: v1",
        "With what it was trained on and how it did. Encrypted, in blocks, each tensor by its name.",
        """
from lepton_ai import ModelRepository

repo = ModelRepository("digits")
main = repo.branch("main")
v1 = repo.save_model(
    model, main, "digits", metrics={"accuracy": accuracy}, history={"loss": model.loss_curve_},
    params={"hidden": [256, 128]}, dataset={"name": "digits", "rows": len(x)}, message="First model",
)
print(v1, "recovery key in", repo.recovery_file)
""",
    ),
    Step(
        "Save it once more with an ONNX program beside it: v2",
        "Two files, one version. What v1 holds already is not stored again.",
        """
with main.create_version("v2") as draft:
    draft.save_model(model, "digits")
    draft.save_model(model, "digits", format="onnx")
    draft.set(metrics={"accuracy": accuracy}, message="Add the ONNX program")
print([file.path for file in draft.files])
""",
    ),
    Step(
        "Fine-tune on a branch: v3",
        "main does not move while you try something.",
        """
tuned = repo.create_branch("fine-tune")
model.learning_rate_init = 0.0002
for epoch in range(30):
    model.partial_fit(x, y)
better = model.score(x_test, y_test)
v3 = repo.save_model(
    model, tuned, "digits", metrics={"accuracy": better}, history={"loss": model.loss_curve_},
    message="Thirty more epochs at a lower rate",
)
print(f"accuracy {accuracy:.3f} -> {better:.3f}")
""",
    ),
    Step(
        "Try something else on another branch",
        "From v1, not from here. Names are counted on each branch, so this one is smaller@v2.",
        """
smaller = repo.create_branch("smaller", v1)
narrow = MLPClassifier((32,), random_state=0)
for epoch in range(40):
    narrow.partial_fit(x, y, classes=range(10))
score = narrow.score(x_test, y_test)
print(repo.save_model(narrow, smaller, "digits", metrics={"accuracy": score}, message="A tenth of the size"))
""",
    ),
    Step(
        "Update v3, merge it",
        "An update is a new revision under the same name; v3~1 stays readable. main takes the branch over.",
        """
predictions = model.predict(x_test)
worst = min(range(10), key=lambda digit: (predictions == digit)[y_test == digit].mean())
v3 = v3.update(metrics={"accuracy": better, "worst_digit": worst}, message="Say which digit is hardest")
print(v3.name, "revision", v3.revision)
repo.merge_branch("fine-tune")
print(main.head)
""",
    ),
    Step(
        "A bad day: v4, then roll back: v5",
        "Labels got mixed up and the model was saved anyway. Going back writes no weights at all.",
        """
import numpy

model.partial_fit(x, numpy.random.default_rng(0).permutation(y))
bad = model.score(x_test, y_test)
repo.save_model(model, main, "digits", metrics={"accuracy": bad}, message="Nightly training")
v5 = main.rollback_to_version("v3")
print(f"v4 {bad:.3f}, v5 {v5.metrics['accuracy']:.3f}; v5 is v3 again: {v5.content_id == v3.content_id}")
""",
    ),
    Step(
        "Delete the bad one, bring it back",
        "A deleted version says who deleted it, when and why, and can be restored until gc frees it.",
        """
$ cd digits
$ lepton delete v4 -m "trained on mixed-up labels"
$ lepton versions
$ lepton restore v4
""",
    ),
    Step(
        "Read one tensor",
        "Only its own blocks are read and decrypted, however large the model is.",
        """
weights = repo.version("v5").tensor("coefs_.1")
print(weights.dtype, weights.shape, f"mean {weights.mean():+.5f}")
""",
    ),
    Step(
        "Load the first model again",
        "You made it yourself, so you may trust it: this file names a class that could run code.",
        """
first = repo.load_model("v1", trust=True)
print(type(first).__name__, f"accuracy {first.score(x_test, y_test):.3f}, as saved: {accuracy:.3f}")
""",
    ),
    Step(
        "The same with PyTorch",
        "Weights as safetensors, with a program beside them that runs without the source code.",
        """
import torch

network = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
images, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
for epoch in range(60):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(network(images), labels)
    loss.backward()
    optimizer.step()
pytorch = ModelRepository("digits-torch")
saved = pytorch.save_model(network, stem="digits", example_inputs=(images[:2],), metrics={"loss": loss.item()})
print(saved, [file.path for file in saved.files])
""",
        needs="torch",
    ),
    Step(
        "The same with Keras",
        "The training history that fit returns is kept with the version.",
        """
import keras

network = keras.Sequential([
    keras.layers.Input((64,)), keras.layers.Dense(128, "relu"), keras.layers.Dense(10, "softmax"),
])
network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
fit = network.fit(x, y, epochs=5, verbose=0)
tall = ModelRepository("digits-keras")
saved = tall.save_model(network, stem="digits", history=fit.history)
print(saved, [file.path for file in saved.files])
""",
        needs="keras",
    ),
    Step(
        "Look back",
        "Every step above, from the terminal. What versions share is in each one's size, and once in the total.",
        """
$ cd digits
$ lepton log --graph
$ lepton versions
$ lepton stats
$ lepton verify
""",
    ),
)
