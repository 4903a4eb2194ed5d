"""Native kernels and their ctypes binding; everything works without them, in plain torch and NumPy."""

from crossent.kernels.library import KernelInfo, info

__all__ = ["KernelInfo", "info"]
