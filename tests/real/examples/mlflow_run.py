"""Logs a run to the tracking server of $MLFLOW_TRACKING_URI, as a notebook does."""

import mlflow

mlflow.set_experiment("Tides")
with mlflow.start_run(run_name="high water"):
    mlflow.log_metric("height", 4.2)
