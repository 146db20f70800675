"""The stages: each reads files, calls the packages, writes files and publishes the results to MLflow."""
