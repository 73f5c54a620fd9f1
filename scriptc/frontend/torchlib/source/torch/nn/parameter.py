"""torch.nn.parameter: Parameter and Buffer are bound by the library."""


class UninitializedParameter:
    pass


def is_lazy(parameter):
    return isinstance(parameter, UninitializedParameter)
