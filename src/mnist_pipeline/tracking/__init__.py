"""MLflow's view of the files; the only package that imports mlflow."""
