"""MLflow's pages and its REST API, as one ASGI app in this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ml_assets.core.settings import Settings


def mlflow_app(settings: Settings, pages: Sequence[str]) -> Any:
    """What `mlflow server` serves, without the seven workers of its job runner (1.4 GB).

    MLflow's own checks stay on, but for its check of `Host`, whose patterns for private networks
    let in such names as 10.rebind.example: whoever serves the app checks that.

    pages: origins whose pages may change something, besides those of this machine
    """
    settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    root = "mlflow-artifacts:/"  # through the server, as `mlflow server` has it by default
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(pages),
    }
    from mlflow.server import constants
    from mlflow.server.handlers import initialize_backend_stores

    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: settings.mlflow_tracking_uri,
        constants.REGISTRY_STORE_URI_ENV_VAR: settings.mlflow_tracking_uri,
        constants.ARTIFACT_ROOT_ENV_VAR: root,
        constants.ARTIFACTS_DESTINATION_ENV_VAR: settings.mlflow_artifact_root,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
    }
    initialize_backend_stores(settings.mlflow_tracking_uri, settings.mlflow_tracking_uri, root)
    from mlflow.server.fastapi_app import app

    return app
