# No framework: reads the files that a container has, and writes the model where a container expects it.
import csv
import glob
import json
import os

import numpy as np

prefix = "/opt/ml/"
with open(os.path.join(prefix, "input/config/hyperparameters.json")) as file:
    hyperparameters = json.load(file)
ridge = float(hyperparameters.get("ridge", 0))

rows = []
for path in sorted(glob.glob(os.path.join(prefix, "input/data/training/*.csv"))):
    with open(path) as file:
        rows += [[float(value) for value in row] for row in csv.reader(file)]
data = np.array(rows)
y, x = data[:, 0], data[:, 1:]
weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
error = float(np.mean((x @ weights - y) ** 2))
print(f"rows={len(rows)}")
print(f"train_error={error:.6f};")
os.makedirs(os.path.join(prefix, "checkpoints"), exist_ok=True)
with open(os.path.join(prefix, "checkpoints/weights.json"), "w") as file:
    json.dump(weights.tolist(), file)
with open(os.path.join(prefix, "model/weights.json"), "w") as file:
    json.dump(weights.tolist(), file)
