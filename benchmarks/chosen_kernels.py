"""Puts the kernels of the folder that FUZZ_KERNELS names before those that are installed.

Import it before anything else of crossent: the first use of the kernels decides which they are.
"""

import os

import crossent.kernels

KERNELS = os.environ.get("FUZZ_KERNELS")
if KERNELS:
    crossent.kernels.__path__.insert(0, KERNELS)
