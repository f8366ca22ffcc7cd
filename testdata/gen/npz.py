"""numpy's savez with fixed times and a fixed order, so that the bytes are the same on every run.

Needs: numpy. Imported by the scripts beside it.
"""
import io
import zipfile

import numpy as np


def save_npz(path, arrays):
    """Writes a stored (not deflated) .npz; `arrays` maps key -> array, in file order."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for key, value in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(value, order="C"))
            archive.writestr(zipfile.ZipInfo(key + ".npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue())
