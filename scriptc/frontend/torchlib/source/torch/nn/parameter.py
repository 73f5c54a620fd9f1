"""torch.nn.parameter: Parameter and Buffer are bound by the library."""


class UninitializedParameter:
    pass


class UninitializedBuffer:
    pass


def is_lazy(parameter):
    return isinstance(parameter, UninitializedParameter)
