"""The numbers that layouts, kernels and tiles agree on."""
from __future__ import annotations

LANES = 16                       # float32 values of one vector
VECTOR_BYTES = 4 * LANES
PANEL = 2                        # blocks of output channels that one product tile makes
MOST_ROWS = 14                   # of one product tile: 28 sums, two panels and a value fill 32 registers
FEW_TILES = 8                    # of rows for a thread: with fewer, threads share out channels too, for one tile more would be a long one
PATIENCE = 1000                  # looks (about 20 microseconds) at a barrier before giving the processor away
ASLEEP, LISTENING, RESERVED = 0, 1, 2      # states of a helper without a job
WIDE = {4: 3, 2: 7}              # panels of one product tile, and its most rows: few read from several places at once; no sum waits for another
SUMMED_ROWS = 8                  # of a matrix that meets a vector, read together
LANEWISE_ROWS = (14, 8, 7, 4, 2, 1)
STRAIGHT_ROWS = (14, 7)          # ... of which there are tiles for rows that stand side by side, or 2 apart
CORRELATED_ROWS = 10             # of one tile of a weight gradient: more spill, for the rows have addresses of their own (14: 83 GFLOP/s, 10: 255)
ROW_CHUNK = 80                   # rows of a weight gradient that stay in the first cache until they are turned: whole tiles and whole squares
EVERY, ONLY, GAPS, LOOSE = 0, 1, 2, 4      # how the turning tile writes, and reads
COPY_DIMS = 5                    # loops of a copy besides the innermost
MOST_ARGUMENTS = 40              # words of one call
POOLED = 4                       # windows of a pool that are combined together: the steps of one wait for each other
NARROW = (1, 3, 4)               # channels of inputs that are kept pixel by pixel instead of in blocks
REDUCTIONS = ("sum", "max", "min")
COLUMN_BLOCKS = 4                # vectors of columns that are reduced together
MASKS = ("", "float", "bool")     # of attention: what is added to the scores, or says which of them count

# What the kernels `apply` and `binary` are told by number.
FUNCTIONS = ("clamp", "sigmoid", "silu", "tanh", "hardsigmoid", "hardswish", "gelu", "gelu_tanh", "leaky_relu", "elu")
COMBINATIONS = ("add", "sub", "mul", "clamp_gradient")

# The transforms of Lavin and Gray (2015), "Fast Algorithms for Convolutional Neural Networks": F(2x2, 3x3) and F(4x4, 3x3).
INPUT_2 = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
OUTPUT_2 = ((1, 1, 1, 0), (0, 1, -1, -1))
WEIGHT_2 = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
INPUT_4 = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1))
OUTPUT_4 = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
WEIGHT_4 = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1))
