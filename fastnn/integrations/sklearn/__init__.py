"""Estimators for scikit-learn: pipelines, grid search, cross-validation, all of which fastnn's trainer trains.

>>> from sklearn.datasets import make_classification
>>> from sklearn.model_selection import cross_val_score
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> X, y = make_classification(500, class_sep=2.0, random_state=0)
>>> pipeline = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=50, tol=None, random_state=0))
>>> bool(cross_val_score(pipeline, X, y).mean() > 0.9)
True

Names, defaults and meanings are those of ``sklearn.neural_network.MLPClassifier`` and ``MLPRegressor``; docs/sklearn.md
lists what differs. All four estimators have, by keyword:

Parameters
----------
solver : "adam", "sgd" or "lbfgs"
    The linear estimators begin with "sgd". "lbfgs" takes all examples at once, and neither `early_stopping` nor
    `partial_fit`; of the linear estimators it finds the minimum to many digits (best with X in float64).
alpha : float, 0.0001
    Strength of the L2 penalty on the weights, not on the intercepts: ``alpha / 2 * ||weights||**2``, divided by the
    weight of the examples in a batch of average weight.
batch_size : int or "auto"
    "auto" is 200, or the number of examples where there are fewer.
learning_rate_init : float, 0.001
    Of the linear estimators 0.01.
learning_rate, power_t : "constant", "invscaling" or "adaptive", 0.5
    How "sgd" lowers the learning rate: not at all, by ``t_ ** power_t`` after each epoch, or to a fifth when it would
    have stopped.
max_iter, max_fun : int, 200; int, 15000
    Most epochs; of "lbfgs" most iterations, and how often it may compute the loss in all.
tol, n_iter_no_change : float or None, 1e-4; int, 10
    Training stops after more than `n_iter_no_change` epochs that improve the loss (with `early_stopping`, the
    validation score) by less than `tol`. None: after `max_iter` epochs, and then without a ConvergenceWarning.
    "lbfgs" stops where no element of the gradient is larger than `tol`, or nothing changes any more.
shuffle : bool, True
    Examples come in another order in each epoch.
random_state : int, RandomState or None
    Decides the first weights, the order of examples and the validation split. With an int the result depends on the
    data and the parameters alone, to the last bit.
early_stopping, validation_fraction : False, 0.1
    Sets that share of the examples aside, of each class equally, and ends with the weights that score best on it.
warm_start : bool, False
    `fit` goes on from the weights there are.
momentum, nesterovs_momentum : 0.9, True
    Of "sgd".
beta_1, beta_2, epsilon : 0.9, 0.999, 1e-8
    Of "adam".
verbose : bool, False
    Shows the trainer's progress bar.

Attributes
----------
`model_` : fastnn.Model
    The network; ``model_.save(path)`` writes it to a file.
`loss_curve_` : list of float
    The mean loss of each epoch, or the loss after each iteration of "lbfgs", penalty included; `best_loss_` is the
    least of it.
`validation_scores_` : list of float, or None without early_stopping
    Accuracy or R² after each epoch; `best_validation_score_` is the greatest.
`n_iter_`, `t_` : int
    Epochs, or iterations, of the latest fit; examples seen by all.
`execution_` : str
    How the steps of training were run (`Trainer.execution`).
`n_features_in_`, `feature_names_in_` : int, array of str
    Columns of X, and their names where it was a frame.
"""

from .classifiers import MLPClassifier, SoftmaxClassifier
from .regressors import LinearRegressor, MLPRegressor

__all__ = ["LinearRegressor", "MLPClassifier", "MLPRegressor", "SoftmaxClassifier"]
