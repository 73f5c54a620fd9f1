from einops.patterns import EinopsError, einsum, parse_shape, rearrange, reduce, repeat
