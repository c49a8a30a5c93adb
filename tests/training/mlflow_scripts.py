"""What a user of MLflow runs where this package is not: several models by one process."""

PREDICT = """
import sys
from mlflow.cli import cli

for name in sys.argv[1:]:
    cli.main(["models", "predict", "--model-uri", f"models:/{name}/1", "--env-manager", "local",
              "--input-path", f"{name}.json", "--output-path", f"{name}.scores.json"],
             standalone_mode=False)
"""

EVALUATE = """
import json, sys
import mlflow, pandas as pd

measured = {}
for name, model_type in zip(sys.argv[1::2], sys.argv[2::2]):
    mlflow.set_experiment(name)
    with mlflow.start_run():
        result = mlflow.models.evaluate(
            f"models:/{name}/1", pd.read_parquet(f"{name}.parquet"), targets="label",
            model_type=model_type, model_config={"answer": "decision"})
    measured[name] = result.metrics
print(json.dumps(measured, default=float))
"""

EVALUATE_ORDER = """
import json, sys
import mlflow, pandas as pd

name, page, rows = sys.argv[1:]
mlflow.set_experiment(name)
rows = pd.read_parquet(rows)
model = mlflow.pyfunc.load_model(f"models:/{name}/1")
rows["score"] = model.predict(rows[model.metadata.signature.inputs.input_names()])["probability"]
rows["slate"] = rows["event_id"].str.rpartition("#")[0]
ordered = rows.sort_values("score", ascending=False, kind="stable")
pages = pd.DataFrame({
    "ordered": ordered.groupby("slate")["item"].agg(list),
    "taken": rows[rows["label"]].groupby("slate")["item"].agg(list)}).dropna()
with mlflow.start_run():
    result = mlflow.models.evaluate(
        data=pages, predictions="ordered", targets="taken", model_type="retriever",
        evaluator_config={"retriever_k": int(page)})
print(json.dumps(result.metrics, default=float))
"""
