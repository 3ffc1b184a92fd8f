# SPDX-License-Identifier: Apache-2.0
"""The real MLflow, for the tests of its tracker. 77: it is not installed.

  mlflow_peer.py server PORT FOLDER        a server whose database and artifacts lie in FOLDER, until it is killed
  mlflow_peer.py read URL EXPERIMENT       the runs of an experiment, a line for each fact, sorted; URL may be a folder
"""

import os
import sys

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"


def server(port, folder):
    arguments = ["server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    arguments += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *arguments])


def read(url, experiment):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=url)
    found = client.get_experiment_by_name(experiment)
    lines = []
    for number, run in enumerate(sorted(client.search_runs([found.experiment_id]), key=lambda run: run.info.start_time)):
        lines.append(f"{number} run {run.info.run_name} {run.info.status} ended {run.info.end_time is not None}")
        for name, value in run.data.params.items():
            lines.append(f"{number} param {name} {value}")
        for name, value in run.data.tags.items():
            if not name.startswith(("mlflow.", "athanor_run")):
                lines.append(f"{number} tag {name} {value}")
        for name in run.data.metrics:
            points = sorted(client.get_metric_history(run.info.run_id, name), key=lambda point: point.step)
            lines.append(f"{number} metric {name} " + " ".join(f"{point.step}:{point.value:.6g}" for point in points))
        for artifact in client.list_artifacts(run.info.run_id):
            lines.append(f"{number} artifact {artifact.path} {artifact.file_size}")
    print("\n".join(sorted(lines)))


if __name__ == "__main__":
    import importlib.util

    # The skinny package has no server; looking for parts of mlflow would load it.
    wanted = ["mlflow", "flask", "uvicorn"] if sys.argv[1] == "server" else ["mlflow"]
    missing = any(importlib.util.find_spec(name) is None for name in wanted)
    if missing:
        print("mlflow is not installed")
        sys.exit(77)
    server(*sys.argv[2:]) if sys.argv[1] == "server" else read(*sys.argv[2:])
