"""Training in one call: from lists, columns and data frames, and as a scikit-learn estimator."""
