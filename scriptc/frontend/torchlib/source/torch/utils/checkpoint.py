"""torch.utils.checkpoint: the ops of a call between marks; the backward computes them again."""
import __stage__


def checkpoint(function, *args, use_reentrant=None, preserve_rng_state=True, context_fn=None, determinism_check=None, debug=False, **kwargs):
    __stage__.mark_checkpoint(True)
    result = function(*args, **kwargs)
    __stage__.mark_checkpoint(False)
    return result


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    if not isinstance(functions, (list, tuple)):
        functions = list(functions.children())
    size = len(functions) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(_chained, functions[start:start + size], input)
    return _chained(functions[size * (segments - 1):], input)


def _chained(functions, input):
    for function in functions:
        input = function(input)
    return input
