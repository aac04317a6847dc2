"""Weight decay against overfitting: 200 inputs, but only 20 examples to learn from (D2L, section 3.7).

Without decay the training loss falls towards 0 while the validation loss stays. With it the weights shrink: half their
squared norm is about 0.01 without and below 0.002 with lambda = 3. The penalty can stand in the loss, as the formula
says (and is part of the losses shown then), or in the optimizer, which costs nothing: the weights are the same up to
rounding.
"""

import fastnn as fn


class WithPenalty(fn.LinearRegression):
    """The loss plus lambda / 2 times the squared norm of the weights."""

    def __init__(self, lr, lambd):
        super().__init__(lr, half=True)
        self.lambd = lambd

    def loss(self, y_hat, y):
        return super().loss(y_hat, y) + self.lambd * (self.net.weight**2).sum() / 2


class WithDecay(fn.LinearRegression):
    """The same gradient from the optimizer, for the weights and not for the bias."""

    def __init__(self, lr, lambd):
        super().__init__(lr, half=True)
        self.lambd = lambd

    def configure_optimizers(self):
        groups = [{"params": self.net.weight, "weight_decay": self.lambd}, {"params": self.net.bias}]
        return fn.optim.SGD(groups, lr=self.lr)


def half_squared_norm(model):
    weight, _ = model.get_w_b()
    return (weight**2).sum().item() / 2


if __name__ == "__main__":
    for model_class in (WithPenalty, WithDecay):
        for lambd in (0, 3):
            fn.manual_seed(0)
            data = fn.SyntheticRegression(0.01 * fn.ones(200), 0.05, num_train=20, num_val=100, batch_size=5)
            model = model_class(lr=0.01, lambd=lambd)
            history = fn.Trainer(max_epochs=10, seed=0).fit(model, data)
            print(
                f"{model_class.__name__}, lambda {lambd}: validation loss {history.val_loss[-1]:.5f}, "
                f"half the squared norm {half_squared_norm(model):.5f}"
            )
