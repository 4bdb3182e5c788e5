"""Training in one call from lists, columns or data frames, and as a scikit-learn estimator."""
