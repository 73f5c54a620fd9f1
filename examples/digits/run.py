"""Compile, run, train, save, load and run again: the whole life of a model without PyTorch.

    python examples/digits/run.py [FOLDER FOR THE ARCHIVES]
"""
from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import scriptc

HERE = Path(__file__).parent
EPOCHS, BATCH = 4, 64


def accuracy(model: scriptc.Module, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose largest score is their label."""
    model.eval()
    with scriptc.no_grad():
        return float((np.asarray(model(images)).argmax(1) == labels).mean())


def show(image: np.ndarray) -> str:
    """A digit as text."""
    return "\n".join("".join(" .:-=+*#%@"[int(v) * 9 // 16] * 2 for v in row) for row in image)


def main(folder: Path) -> None:
    with np.load(HERE / "digits.npz") as data:
        images, labels = data["images"].astype(np.float32)[:, None], data["labels"].astype(np.int64)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1400], order[1400:]

    started = time.perf_counter()
    model = scriptc.compile(HERE / "model.py", entry="DigitNet()", inputs=["images:float32[N,1,8,8]"], seed=0)
    model.save(folder / "digits.pt")
    print(f"compiled model.py to digits.pt in {time.perf_counter() - started:.2f} s: "
          f"{sum(p.numel() for p in model.parameters()):,} parameters")

    model = scriptc.load(folder / "digits.pt")
    print(f"before training: {accuracy(model, images[test], labels[test]):6.1%} of {len(test)} unseen digits are right")

    optimizer = scriptc.optim.AdamW(model.parameters(), lr=3e-3)
    rng = np.random.default_rng(1)
    for epoch in range(EPOCHS):
        model.train()
        losses = []
        for batch in np.array_split(rng.permutation(train), len(train) // BATCH):
            loss = scriptc.nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, {accuracy(model, images[test], labels[test]):6.1%} right")

    model.save(folder / "digits-trained.pt")
    again = scriptc.load(folder / "digits-trained.pt")
    model.eval()
    again.eval()
    sample = images[test[:1]]
    with scriptc.no_grad():
        scores, same = np.asarray(again(sample)), np.array_equal(np.asarray(model(sample)), np.asarray(again(sample)))
    print(f"saved and loaded again: results are {'identical' if same else 'DIFFERENT'}\n{show(sample[0, 0])}")
    print(f"this digit is a {scores.argmax()} (label {labels[test[0]]})")
    if not same or accuracy(again, images[test], labels[test]) < 0.9:
        sys.exit("the example did not reach what it promises")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
