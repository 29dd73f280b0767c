"""Estimators in the manner of scikit-learn, which is imported here and nowhere else."""
