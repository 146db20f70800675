"""The view that MLflow gives of the files; the only room that imports mlflow."""
