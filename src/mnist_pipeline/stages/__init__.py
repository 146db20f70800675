"""The stages: each reads files, calls the packages, writes files and publishes the results to MLflow.

Their `run` raises a `PipelineError` where a file, a parameter or a result is not as it must be.
"""
