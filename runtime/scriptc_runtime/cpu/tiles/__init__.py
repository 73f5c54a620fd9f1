"""The tile library: matrix products and convolutions on blocked activations, compiled in parts, once per machine.

In: addresses and tables of byte offsets. Out: results in place. `registers` prints the vector code of a tile, `kernels` the loops around
it, `compilation` makes machine code of a part of both, `library` has it loaded or made when a program needs it, `blocked` prepares layouts,
weights and tables.
"""
