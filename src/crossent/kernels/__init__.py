"""Native row kernels and their ctypes binding; everything works without them, in plain torch."""

from crossent.kernels.library import KernelInfo, info

__all__ = ["KernelInfo", "info"]
