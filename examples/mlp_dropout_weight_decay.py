"""Multilayer perceptrons on Fashion-MNIST: plain, with dropout, and with weight decay (D2L, sections 5.2, 5.6 and 3.7).

Ten epochs give a validation accuracy between 0.83 and 0.86 for each of them. Weight decay is applied to the weights
only, by parameter groups.

    python mlp_dropout_weight_decay.py --epochs 10
"""

import argparse

import fastnn as fn


class DecayingMLP(fn.MLP):
    """An MLP whose weights (not its biases) shrink a little in every step."""

    weight_decay = 1e-3

    def configure_optimizers(self):
        weights = [param for name, param in self.named_parameters() if name.endswith("weight")]
        biases = [param for name, param in self.named_parameters() if name.endswith("bias")]
        groups = [{"params": weights, "weight_decay": self.weight_decay}, {"params": biases}]
        return fn.optim.SGD(groups, lr=self.lr)


def squared_norm(model):
    return sum((param.detach() ** 2).sum().item() for name, param in model.named_parameters() if "weight" in name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    epochs = parser.parse_args().epochs

    fn.manual_seed(0)
    data = fn.FashionMNIST(batch_size=256)
    models = {
        "784-256-10": fn.MLP(num_outputs=10, num_hiddens=256, lr=0.1),
        "784-256-256-10, dropout 0.5": fn.MLP(num_outputs=10, num_hiddens=[256, 256], lr=0.1, dropout=0.5),
        "784-256-10, weight decay 0.001": DecayingMLP(num_outputs=10, num_hiddens=256, lr=0.1),
    }
    for name, model in models.items():
        history = fn.Trainer(max_epochs=epochs, seed=0).fit(model, data)
        print(
            f"{name}: training loss {history.train_loss[-1]:.3f}, validation accuracy {history.val_acc[-1]:.3f}, "
            f"squared norm of the weights {squared_norm(model):.1f}"
        )
