"""Control flow as machine code: `if`, `loop` and the small values around them printed as one function for numba.

In: a cluster of ops with concrete types. Out: one kernel. Scalars and tensors of a few elements live in variables (`values.Cells`), larger
ones in scratch memory (`values.Memory`), lists in buffers that grow. Whatever is out of the ordinary (an error of the program, an int beyond
64 bits) makes the function give up with a status, and the ops run again one by one, with the references' results and exceptions: they have
no effects that could happen twice.
"""
from scriptc_runtime.cpu.native import kernel

__all__ = ["kernel"]
