"""torch.nn.Module: the tree of parameters, buffers and submodules."""
from collections import OrderedDict, namedtuple

import torch


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, unexpected_keys={self.unexpected_keys!r})"

    def __str__(self):
        return self.__repr__()


class _Hook:
    """A function called around forward, and how it wants to be called."""

    def __init__(self, function, with_kwargs):
        self.function = function
        self.with_kwargs = with_kwargs


class Module:
    training: bool
    _version = 1
    dump_patches = False
    call_super_init = False

    def __init__(self, *args, **kwargs):
        self._parameters = {}
        self._buffers = {}
        self._modules = {}
        self._non_persistent_buffers_set = set()
        self._forward_hooks = []
        self._forward_pre_hooks = []
        self.training = True

    def forward(self, *input):
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args, **kwargs):
        if self._forward_pre_hooks or self._forward_hooks:
            return self._call_with_hooks(*args, **kwargs)
        return self.forward(*args, **kwargs)

    def _call_with_hooks(self, *args, **kwargs):
        for hook in list(self._forward_pre_hooks):
            if hook.with_kwargs:
                changed = hook.function(self, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
            else:
                changed = hook.function(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks):
            changed = hook.function(self, args, kwargs, result) if hook.with_kwargs else hook.function(self, args, result)
            if changed is not None:
                result = changed
        return result

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        return _Handle(self._forward_hooks, _Hook(hook, with_kwargs), prepend)

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        return _Handle(self._forward_pre_hooks, _Hook(hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook, prepend=False):
        return _Handle([], hook)

    def register_full_backward_pre_hook(self, hook, prepend=False):
        return _Handle([], hook)

    def register_backward_hook(self, hook):
        return _Handle([], hook)

    def register_state_dict_pre_hook(self, hook):
        return _Handle([], hook)

    def register_state_dict_post_hook(self, hook):
        return _Handle([], hook)

    def _register_state_dict_hook(self, hook):
        return _Handle([], hook)

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return _Handle([], hook)

    def register_load_state_dict_pre_hook(self, hook):
        return _Handle([], hook)

    def register_load_state_dict_post_hook(self, hook):
        return _Handle([], hook)

    def _check_name(self, kind, name, registry):
        """KeyError unless `name` may be registered."""
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {torch.typename(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in registry:
            raise KeyError(f"attribute '{name}' already exists")

    def register_buffer(self, name, tensor, persistent=True):
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, torch.Tensor):
            raise TypeError(f"cannot assign '{torch.typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, torch.nn.parameter.Parameter):
            raise TypeError(f"cannot assign '{torch.typename(param)}' object to parameter '{name}' (torch.nn.Parameter or None required)")
        self._parameters[name] = param

    def add_module(self, name, module):
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{torch.typename(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = module

    def register_module(self, name, module):
        self.add_module(name, module)

    def get_submodule(self, target):
        module = self
        if target == "":
            return module
        for item in target.split("."):
            if not hasattr(module, item):
                raise AttributeError(module._get_name() + " has no attribute `" + item + "`")
            module = getattr(module, item)
            if not isinstance(module, Module):
                raise AttributeError("`" + item + "` is not an nn.Module")
        return module

    def set_submodule(self, target, module, strict=False):
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        path, _, name = target.rpartition(".")
        setattr(self.get_submodule(path), name, module)

    def _member(self, target, registry, what):
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if name not in registry(module):
            raise AttributeError(f"`{name}` is not {what}")
        return getattr(module, name)

    def get_parameter(self, target):
        return self._member(target, lambda module: module._parameters, "an nn.Parameter")

    def get_buffer(self, target):
        return self._member(target, lambda module: module._buffers, "a buffer")

    def apply(self, fn):
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        if memo is None:
            memo = []
        found = []
        if not any(self is seen for seen in memo):
            if remove_duplicate:
                memo.append(self)
            found.append((prefix, self))
            for name, module in self._modules.items():
                if module is None:
                    continue
                inner = prefix + ("." if prefix else "") + name
                found.extend(module.named_modules(memo, inner, remove_duplicate))
        return iter(found)

    def modules(self):
        return iter([module for _, module in self.named_modules()])

    def named_children(self):
        found = []
        seen = []
        for name, module in self._modules.items():
            if module is not None and not any(module is other for other in seen):
                seen.append(module)
                found.append((name, module))
        return iter(found)

    def children(self):
        return iter([module for _, module in self.named_children()])

    def _named_members(self, registry, prefix="", recurse=True, remove_duplicate=True):
        found = []
        seen = []
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in getattr(module, registry).items():
                if value is None or (remove_duplicate and any(value is other for other in seen)):
                    continue
                seen.append(value)
                found.append((path + ("." if path else "") + name, value))
        return iter(found)

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse=True):
        return iter([value for _, value in self.named_parameters(recurse=recurse)])

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        return iter([value for _, value in self.named_buffers(recurse=recurse)])

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        if destination is None:
            destination = OrderedDict()
        for name, value in self._parameters.items():
            if value is not None:
                destination[prefix + name] = value.detach()
        for name, value in self._buffers.items():
            if value is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = value.detach()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
        return destination

    def _state(self, prefix=""):
        """The tensors of the state by name, not detached."""
        found = OrderedDict()
        for name, value in self._parameters.items():
            if value is not None:
                found[prefix + name] = value
        for name, value in self._buffers.items():
            if value is not None and name not in self._non_persistent_buffers_set:
                found[prefix + name] = value
        for name, module in self._modules.items():
            if module is not None:
                found.update(module._state(prefix + name + "."))
        return found

    def load_state_dict(self, state_dict, strict=True, assign=False):
        own = self._state()
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        faults = []
        if strict and unexpected:
            faults.append("Unexpected key(s) in state_dict: " + ", ".join(f'"{k}"' for k in unexpected) + ". ")
        if strict and missing:
            faults.append("Missing key(s) in state_dict: " + ", ".join(f'"{k}"' for k in missing) + ". ")
        for name, value in state_dict.items():
            if name not in own:
                continue
            if list(own[name].shape) != list(value.shape):
                faults.append(f"size mismatch for {name}: copying a param with shape {value.shape} from checkpoint, "
                              f"the shape in current model is {own[name].shape}.")
                continue
            with torch.no_grad():
                own[name].copy_(value)
        if faults:
            raise RuntimeError("Error(s) in loading state_dict for {}:\n\t{}".format(type(self).__name__, "\n\t".join(faults)))
        return _IncompatibleKeys(missing, unexpected)

    def train(self, mode=True):
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        pass

    def _apply(self, fn, recurse=True):
        for module in self.modules() if recurse else [self]:
            for registry in (module._parameters, module._buffers):
                for value in registry.values():
                    if value is not None:
                        value.data = fn(value.data)
        return self

    def _cast(self, dtype):
        for module in self.modules():
            module._cast_own(dtype)
        return self

    def _cast_own(self, dtype):
        for registry in (self._parameters, self._buffers):
            for value in registry.values():
                if value is not None and value.is_floating_point():
                    value.data = value.data.to(dtype)

    def to(self, *args, **kwargs):
        dtype = kwargs.get("dtype")
        for argument in args:
            if isinstance(argument, torch.dtype):
                dtype = argument
        return self if dtype is None else self._cast(dtype)

    def float(self):
        return self._cast(torch.float32)

    def double(self):
        return self._cast(torch.float64)

    def half(self):
        return self._cast(torch.float16)

    def bfloat16(self):
        return self._cast(torch.bfloat16)

    def type(self, dst_type):
        return self._cast(dst_type)

    def to_empty(self, *, device, recurse=True):
        return self

    def cuda(self, device=None):
        return self

    def cpu(self):
        return self

    def compile(self, *args, **kwargs):
        pass

    def share_memory(self):
        return self

    def extra_repr(self):
        return ""

    def _get_name(self):
        return type(self).__name__

    def __dir__(self):
        return sorted([*self.__dict__, *self._parameters, *self._modules, *self._buffers])

    def __repr__(self):
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + _indented(repr(module)) for name, module in self._modules.items()]
        if not children and len(lines) <= 1:
            return self._get_name() + "(" + extra + ")"
        return self._get_name() + "(\n  " + "\n  ".join(lines + children) + "\n)"


def _indented(text):
    return "\n  ".join(text.split("\n"))


class _Handle:
    """What registering a hook gives: the way to take it back."""

    def __init__(self, hooks, hook, prepend=False):
        self.hooks = hooks
        self.hook = hook
        if prepend:
            hooks.insert(0, hook)
        else:
            hooks.append(hook)

    def remove(self):
        for index, other in enumerate(self.hooks):
            if other is self.hook:
                del self.hooks[index]
                return

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.remove()
