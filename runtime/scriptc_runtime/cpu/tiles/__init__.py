"""The tile library: matrix products and convolutions on blocked activations, compiled once per machine.

In: addresses and tables of byte offsets. Out: results in place. `registers` prints the vector code of a tile, `kernels` the loops around
it, `library` makes machine code of both, `blocked` prepares layouts, weights and tables.
"""
