"""Linear regression with the built-in model, and its exact solution (D2L, section 3.5).

Gradient descent ends within about 0.02 of the truth. The closed form needs no learning rate and no epochs; what is left
of its error comes from the noise in the data.
"""

import fastnn as fn

fn.manual_seed(0)
w, b = fn.tensor([2.0, -3.4]), 4.2
data = fn.SyntheticRegression(w, b, noise=0.01)


def report(name, model):
    learned_w, learned_b = model.get_w_b()
    print(f"{name}: error of w {(w - learned_w.reshape(2)).tolist()}, error of b {b - learned_b.item():.6f}")


model = fn.LinearRegression(lr=0.03)
history = fn.Trainer(max_epochs=3, seed=0).fit(model, data)
print("validation loss per epoch:", [round(loss, 6) for loss in history.val_loss])
report("gradient descent", model)

exact = fn.LinearRegression(lr=0.03)
exact.solve(data)
report("closed form", exact)
