"""Estimators in scikit-learn's tools: a pipeline, cross-validation, and a grid search in threads (needs scikit-learn).

The data are scikit-learn's 1797 digits of 8 x 8 pixels. Softmax regression classifies about 0.965 of them, a perceptron
with one hidden layer about 0.975. The threads of the search train at the same time: native steps release the GIL.

    python sklearn_pipeline.py
"""

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnn.integrations.sklearn import MLPClassifier, SoftmaxClassifier

if __name__ == "__main__":
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X.astype("float32"), y, random_state=0, stratify=y)

    softmax = make_pipeline(StandardScaler(), SoftmaxClassifier(batch_size=50, tol=1e-3, random_state=0))
    scores = cross_val_score(softmax, X_train, y_train)
    print(f"softmax regression: accuracy {scores.mean():.3f} +- {scores.std():.3f} in cross-validation")

    mlp = make_pipeline(StandardScaler(), MLPClassifier(batch_size=50, tol=1e-3, random_state=0))
    grid = {"mlpclassifier__hidden_layer_sizes": [(8,), (64,)], "mlpclassifier__learning_rate_init": [1e-3, 1e-2]}
    with joblib.parallel_config("threading", n_jobs=-1):
        search = GridSearchCV(mlp, grid).fit(X_train, y_train)
    best = search.best_estimator_[-1]
    print(f"best perceptron: {best.hidden_layer_sizes[0]} units, learning rate {best.learning_rate_init:g}")
    print(f"perceptron: accuracy {search.score(X_test, y_test):.3f} on digits that were not searched with")
    print(f"{best.n_iter_} epochs; {best.execution_}")
