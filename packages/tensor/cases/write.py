"""Writes numpy.json beside this file: what numpy gives for functions of arrays of random types and shapes.

  python3 packages/tensor/cases/write.py       needs numpy
"""

import json
import os

import numpy as np

random = np.random.default_rng(20261201)
TYPES = ["float32", "float16", "int8", "uint8", "int32", "int64", "bool"]
FLOATS = ["float32", "float16"]
NUMBERS = ["float32", "float16", "int8", "uint8", "int32", "int64"]
UNARY = {
    "negative": (np.negative, ["float32", "float16", "int8", "int32", "int64"]), "abs": (np.abs, NUMBERS), "sign": (np.sign, NUMBERS),
    "square": (np.square, NUMBERS), "sqrt": (np.sqrt, FLOATS), "reciprocal": (np.reciprocal, FLOATS), "exp": (np.exp, FLOATS),
    "expm1": (np.expm1, FLOATS), "log": (np.log, FLOATS), "log1p": (np.log1p, FLOATS), "log2": (np.log2, FLOATS), "sin": (np.sin, FLOATS),
    "cos": (np.cos, FLOATS), "tanh": (np.tanh, FLOATS), "floor": (np.floor, FLOATS), "ceil": (np.ceil, FLOATS), "trunc": (np.trunc, FLOATS),
    "round": (np.round, FLOATS), "logicalNot": (np.logical_not, TYPES), "isnan": (np.isnan, FLOATS), "isfinite": (np.isfinite, FLOATS),
}
BINARY = {
    "add": (np.add, NUMBERS), "subtract": (np.subtract, NUMBERS), "multiply": (np.multiply, NUMBERS), "divide": (np.divide, FLOATS),
    "floorDivide": (np.floor_divide, NUMBERS), "remainder": (np.remainder, NUMBERS), "pow": (np.power, NUMBERS),
    "atan2": (np.arctan2, FLOATS), "maximum": (np.maximum, NUMBERS), "minimum": (np.minimum, NUMBERS), "equal": (np.equal, TYPES),
    "notEqual": (np.not_equal, TYPES), "less": (np.less, NUMBERS), "lessEqual": (np.less_equal, NUMBERS), "greater": (np.greater, NUMBERS),
    "greaterEqual": (np.greater_equal, NUMBERS), "logicalAnd": (np.logical_and, TYPES), "logicalOr": (np.logical_or, TYPES),
    "logicalXor": (np.logical_xor, TYPES),
}
REDUCTIONS = {
    "sum": (np.sum, NUMBERS), "prod": (np.prod, NUMBERS), "mean": (np.mean, FLOATS), "max": (np.max, NUMBERS), "min": (np.min, NUMBERS),
    "argmax": (np.argmax, NUMBERS), "argmin": (np.argmin, NUMBERS), "any": (np.any, TYPES), "all": (np.all, TYPES),
    "var": (np.var, FLOATS), "std": (np.std, FLOATS),
}
cases = []


def shape(most=4, least=0):
    return [int(random.choice([0, 1, 2, 3, 5, 11], p=[0.04, 0.2, 0.25, 0.25, 0.2, 0.06])) for _ in range(random.integers(least, most))]


def array(dtype, sizes):
    if dtype == "bool":
        return random.integers(0, 2, sizes).astype(bool)
    if dtype in FLOATS:
        values = random.normal(0, 3, sizes)
        special = random.random(sizes)
        values = np.where(special < 0.03, np.nan, np.where(special < 0.05, np.inf, np.where(special < 0.08, 0.0, values)))
        return values.astype(dtype)
    low, high = (0, 9) if dtype == "uint8" else (-9, 9)
    return random.integers(low, high, sizes).astype(dtype)


def beside(sizes):
    """A shape that goes together with another."""
    kept = sizes[random.integers(0, len(sizes) + 1):]
    return [1 if random.random() < 0.3 else size for size in kept]


def numbers(values):
    flat = np.asarray(values).astype(np.float64).ravel()
    return [None if np.isnan(v) else "inf" if v == np.inf else "-inf" if v == -np.inf else int(v) if v == int(v) and not (v == 0 and np.signbit(v)) else float(v) for v in flat]


def told(values):
    return {"dtype": str(values.dtype), "shape": list(values.shape), "values": numbers(values)}


def add(function, inputs, result, arguments=()):
    cases.append({"function": function, "inputs": [told(each) for each in inputs], "arguments": list(arguments), "result": told(np.asarray(result))})


with np.errstate(all="ignore"):
    for name, (function, types) in UNARY.items():
        for dtype in types:
            x = array(dtype, shape())
            add(name, [x], function(x))
    for name, (function, types) in BINARY.items():
        for dtype in types:
            sizes = shape()
            x, y = array(dtype, sizes), array(dtype, beside(sizes))
            if name == "pow" and dtype not in FLOATS:
                y = np.abs(y)
            if random.random() < 0.5:
                x, y = y, x
                if name == "pow" and dtype not in FLOATS:
                    y = np.abs(y)
            add(name, [x, y], function(x, y))
    for name, (function, types) in REDUCTIONS.items():
        for dtype in types:
            for _ in range(2):
                sizes = [max(1, size) for size in shape()]
                x = array(dtype, sizes)
                keep = bool(random.integers(0, 2))
                if name in ("argmax", "argmin"):
                    axis = None if not sizes or random.random() < 0.4 else int(random.integers(-len(sizes), len(sizes)))
                    found = function(x, axis=axis, keepdims=keep).astype("int32")
                else:
                    chosen = [int(i) for i in range(len(sizes)) if random.random() < 0.5]
                    axis = None if random.random() < 0.3 else chosen
                    wide = x.astype("float64") if dtype in FLOATS and name not in ("any", "all", "max", "min") else x
                    found = function(wide, axis=None if axis is None else tuple(axis), keepdims=keep)
                    if dtype in FLOATS and name not in ("any", "all"):
                        found = np.asarray(found).astype(dtype)
                    elif name in ("sum", "prod"):
                        found = np.asarray(found).astype("int64")
                add(name, [x], found, [axis, {"keepDims": keep}])
    for dtype in NUMBERS:
        for _ in range(6):
            m, k, n = (int(random.choice([0, 1, 2, 7, 19])) for _ in range(3))
            batch = shape(3)[:2]
            a, b = batch + [m, k], beside(batch) + [k, n]
            if random.random() < 0.2:
                a, b = [k], [k, n]
            elif random.random() < 0.2:
                a, b = batch + [m, k], [k]
            x = random.integers(-4, 5, a).astype(dtype) if dtype != "uint8" else random.integers(0, 3, a).astype(dtype)
            y = random.integers(-4, 5, b).astype(dtype) if dtype != "uint8" else random.integers(0, 3, b).astype(dtype)
            if dtype == "float32":
                x, y = random.normal(0, 1, a).astype(dtype), random.normal(0, 1, b).astype(dtype)
                found = (x.astype("float64") @ y.astype("float64")).astype(dtype)
            else:
                found = (x.astype("float32") @ y.astype("float32")).astype(dtype) if dtype == "float16" else x @ y
            add("matmul", [x, y], found)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "numpy.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")
print(len(cases), "cases")
