"""The doors: each stage reads files, calls the rooms, writes files and publishes them to MLflow."""
