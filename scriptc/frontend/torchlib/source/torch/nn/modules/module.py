"""torch.nn.Module: the tree of parameters, buffers and submodules."""
from collections import OrderedDict


class Module:
    training: bool
    _version = 1

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
        for hook in self._forward_pre_hooks:
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        for hook in self._forward_hooks:
            changed = hook(self, args, result)
            if changed is not None:
                result = changed
        return result

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        self._forward_hooks.append(hook)
        return _Handle(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        self._forward_pre_hooks.append(hook)
        return _Handle(self._forward_pre_hooks, hook)

    def register_full_backward_hook(self, hook, prepend=False):
        return _Handle([], hook)

    def register_state_dict_pre_hook(self, hook):
        return _Handle([], hook)

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return _Handle([], hook)

    def register_load_state_dict_post_hook(self, hook):
        return _Handle([], hook)

    def register_buffer(self, name, tensor, persistent=True):
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._parameters[name] = param

    def add_module(self, name, module):
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = module

    def register_module(self, name, module):
        self.add_module(name, module)

    def get_submodule(self, target):
        module = self
        if target == "":
            return module
        for item in target.split("."):
            module = getattr(module, item)
        return module

    def get_parameter(self, target):
        path, _, name = target.rpartition(".")
        return getattr(self.get_submodule(path), name)

    def get_buffer(self, target):
        return self.get_parameter(target)

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

    def load_state_dict(self, state_dict, strict=True, assign=False):
        own = self.state_dict(keep_vars=True)
        for name, value in state_dict.items():
            if name in own:
                own[name].copy_(value)
        return None

    def train(self, mode=True):
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

    def _cast(self, dtype):
        for module in self.modules():
            for registry in (module._parameters, module._buffers):
                for name, value in registry.items():
                    if value is not None and value.is_floating_point():
                        value.data = value.data.to(dtype)
        return self

    def to(self, *args, **kwargs):
        import torch
        dtype = kwargs.get("dtype")
        for argument in args:
            if isinstance(argument, torch.dtype):
                dtype = argument
        return self if dtype is None else self._cast(dtype)

    def float(self):
        import torch
        return self._cast(torch.float32)

    def double(self):
        import torch
        return self._cast(torch.float64)

    def half(self):
        import torch
        return self._cast(torch.float16)

    def bfloat16(self):
        import torch
        return self._cast(torch.bfloat16)

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

    def __repr__(self):
        return f"{type(self).__name__}({self.extra_repr()})"


class _Handle:
    def __init__(self, hooks, hook):
        self.hooks = hooks
        self.hook = hook

    def remove(self):
        if self.hook in self.hooks:
            self.hooks.remove(self.hook)
