"""A module called with other tensors in place of its own."""


def functional_call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True, strict=False):
    if isinstance(parameters_and_buffers, (tuple, list)):
        merged = {}
        for part in parameters_and_buffers:
            merged.update(part)
        parameters_and_buffers = merged
    replaced = []
    for path, tensor in parameters_and_buffers.items():
        owner, _, name = path.rpartition(".")
        target = module.get_submodule(owner)
        registry = target._parameters if name in target._parameters else target._buffers
        if name not in registry:
            if strict:
                raise RuntimeError(f"Unexpected key(s): {path}.")
            continue
        replaced.append((registry, name, registry[name]))
        registry[name] = tensor
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    result = module(*args, **({} if kwargs is None else kwargs))
    for registry, name, tensor in reversed(replaced):
        registry[name] = tensor
    return result
