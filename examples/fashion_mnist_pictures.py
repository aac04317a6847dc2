"""Fashion-MNIST in pictures, without a display: the data, curves, what a model gets wrong and why (D2L, 4.2, 4.5).

    python fashion_mnist_pictures.py --epochs 3 --out pictures

writes examples.png, curves.png, predictions.png, confusion.png and weights.png.
"""

import argparse
from pathlib import Path

import fastnn as fn

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    fn.manual_seed(0)
    data = fn.FashionMNIST(batch_size=256)
    X, y = next(iter(data.val_dataloader()))
    print(f"a batch: X {X.shape} {X.dtype}, y {y.shape} {y.dtype}")
    data.visualize((X, y), nrows=2).savefig(args.out / "examples.png")

    model = fn.SoftmaxRegression(num_outputs=10, lr=0.1)
    history = fn.Trainer(max_epochs=args.epochs, seed=0).fit(model, data)
    history.plot(args.out / "curves.png")

    truth, said = data.text_labels(y), data.text_labels(model.predict(X))
    fn.plot.images(X[:32], truth[:32], predicted=said[:32], path=args.out / "predictions.png")
    X, y = next(iter(fn.DataLoader(data.val, batch_size=len(data.val))))
    fn.plot.confusion_matrix(y, model.predict(X), data.classes, args.out / "confusion.png")
    fn.plot.weights(model.net[1].weight, titles=data.classes, ncols=5, path=args.out / "weights.png")

    wrong = [(is_, guess) for is_, guess in zip(truth, said, strict=True) if is_ != guess]
    print(f"{len(wrong)} of {len(truth)} wrong, the first: {wrong[0][0]}, taken for {wrong[0][1]}")
    print("written:", *sorted(str(path) for path in args.out.glob("*.png")))
