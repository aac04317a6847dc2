"""Linear regression from scratch: parameters, model, loss and optimizer of one's own (D2L, section 3.4).

Only the tensor, its gradient and the trainer come from the library. After three epochs the bias is still about 0.2 away
from the truth: half the squared error has half the gradient, and 96 steps at this learning rate are too few for it.
"""

import fastnn as fn


class SGD:
    """Minibatch stochastic gradient descent: every parameter moves against its gradient."""

    def __init__(self, params, lr):
        self.params = params
        self.lr = lr

    def step(self):
        with fn.no_grad():
            for param in self.params:
                param -= self.lr * param.grad

    def zero_grad(self):
        for param in self.params:
            if param.grad is not None:
                param.grad.zero_()


class LinearRegressionScratch(fn.Model):
    """y_hat = X w + b, with w of shape (num_inputs, 1) and b of shape (1,)."""

    def __init__(self, num_inputs, lr, sigma=0.01):
        super().__init__()
        self.lr = lr
        self.w = fn.normal(0, sigma, (num_inputs, 1), requires_grad=True)
        self.b = fn.zeros(1, requires_grad=True)

    def forward(self, X):
        return X @ self.w + self.b

    def loss(self, y_hat, y):
        return ((y_hat - y) ** 2 / 2).mean()

    def training_step(self, batch):
        X, y = batch
        loss = self.loss(self(X), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return SGD([self.w, self.b], self.lr)


if __name__ == "__main__":
    fn.manual_seed(0)
    w, b = fn.tensor([2.0, -3.4]), 4.2
    data = fn.SyntheticRegression(w, b)
    model = LinearRegressionScratch(num_inputs=2, lr=0.03)
    history = fn.Trainer(max_epochs=3, seed=0).fit(model, data)

    print("training loss per epoch:", [round(loss, 4) for loss in history.train_loss])
    print("error of w:", (w - model.w.reshape(2)).tolist())
    print("error of b:", b - model.b.item())
