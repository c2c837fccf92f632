"""Arrays in requests and responses: NumPy's own format (application/x-npy) and text/csv. NumPy is loaded on first use.

Source: the codecs of AWS's sagemaker-inference toolkit (decoder.py, encoder.py), without pickled objects.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

NPY = "application/x-npy"
CSV = "text/csv"
# The first bytes of every .npy file.
NPY_SIGNATURE = b"\x93NUMPY"


class ArrayError(ValueError):
    """Content that is not an array, or an array that a format cannot hold."""


def read_npy(content: bytes) -> npt.NDArray[Any]:
    """The array in the content of a .npy file, in this machine's byte order; the array is writable.

    Raises:
        ArrayError: The content is damaged, is longer or shorter than its header says, or holds Python objects, which
            could run code when they are loaded.
    """
    import numpy as np  # noqa: PLC0415

    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ArrayError(f"version {version[0]}.{version[1]} of the format is not supported")
        shape, is_fortran, dtype = readers[version](file)
    except ArrayError:
        raise
    except Exception as error:  # NumPy parses the header as Python source, whose errors are of many kinds
        raise ArrayError(f"it is not an array in NumPy's format: {error}") from error
    if dtype.hasobject or not dtype.itemsize:
        raise ArrayError(f"arrays of dtype {dtype} are not accepted; send an array of numbers")
    # The header may declare any size: nothing is allocated before the size of the content confirms it.
    declared, received = math.prod(shape) * dtype.itemsize, len(content) - file.tell()
    if declared != received:
        raise ArrayError(f"its header declares {declared} bytes of data, but it has {received}")
    array = np.frombuffer(content, dtype, offset=file.tell()).reshape(shape, order="F" if is_fortran else "C")
    return array.astype(dtype.newbyteorder("="))


def write_npy(array: npt.ArrayLike) -> bytes:
    """An array as the content of a .npy file.

    Raises:
        ArrayError: It is not an array of numbers, booleans or text, but for instance a dictionary or a ragged list.
    """
    import numpy as np  # noqa: PLC0415

    try:
        converted = np.asarray(array)
    except ValueError as error:
        raise ArrayError(f"it has no array form: {error}") from error
    if converted.dtype.hasobject:
        raise ArrayError(f"a {type(array).__name__} that is not an array of numbers has no form in NumPy's format")
    file = io.BytesIO()
    np.lib.format.write_array(file, converted, allow_pickle=False)
    return file.getvalue()


def read_csv(content: bytes) -> list[list[float]]:
    """The rows of numbers in a CSV file; empty lines are skipped.

    Raises:
        ArrayError: It is not UTF-8, a cell is not a number, or the rows differ in length.
    """
    try:
        rows = [[float(cell) for cell in row] for row in csv.reader(io.StringIO(content.decode("utf-8"))) if row]
    except (ValueError, csv.Error) as error:
        raise ArrayError(str(error)) from error
    if len({len(row) for row in rows}) > 1:
        raise ArrayError("its rows differ in length")
    return rows


def write_csv(values: object) -> str:
    """Nested lists as CSV: a list of values has one value per line, a list of lists one list per line.

    Raises:
        ArrayError: It is not a list, or is nested more than twice.
    """
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise ArrayError(f"text/csv holds rows of values, not a {type(values).__name__}")
    rows = [row if isinstance(row, Sequence) and not isinstance(row, (str, bytes)) else [row] for row in values]
    if any(isinstance(cell, (Sequence, dict)) and not isinstance(cell, str) for row in rows for cell in row):
        raise ArrayError("text/csv holds at most two dimensions")
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def squeezed(rows: list[list[float]]) -> list[list[float]] | list[float] | float:
    """Rows as AWS's toolkit decodes them with `numpy.genfromtxt`: a single row or column has one dimension.

    >>> squeezed([[1.0, 2.0]]), squeezed([[1.0], [2.0]]), squeezed([[1.0]])
    ([1.0, 2.0], [1.0, 2.0], 1.0)
    """
    columns: list[list[float]] | list[float] = [row[0] for row in rows] if all(len(row) == 1 for row in rows) else rows
    return columns[0] if len(columns) == 1 else columns
