import csv
import os

import torch


def load(folder):
    rows = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name)) as file:
            rows += [[float(value) for value in row] for row in csv.reader(file)]
    data = torch.tensor(rows)
    return data[:, 1:], data[:, 0]
