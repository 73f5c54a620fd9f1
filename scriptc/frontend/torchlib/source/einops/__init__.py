"""einops (Rogozhnikov 2022): arrangement of axes by patterns, read when the model is compiled."""
from einops.packing import pack, unpack
from einops.patterns import EinopsError, einsum, parse_shape, rearrange, reduce, repeat

__version__ = "0.8.2"
