"""Attributes: where a name of an object comes from, and what assigning to it does."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator, did_you_mean
from scriptc.frontend.evaluator.operators import some, type_name, used
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import (
    MISSING,
    POISON,
    BoundMethod,
    Builtin,
    Choice,
    Class,
    ClassMethod,
    Conflict,
    Device,
    Dynamic,
    Function,
    Instance,
    Iterating,
    LanguageError,
    ModuleValue,
    Partial,
    Property,
    PyDict,
    PyList,
    PySet,
    Size,
    StaticMethod,
    StructTuple,
    Super,
    TypeForm,
    Unavailable,
)
from scriptc.ir.types import BOOL, FLOAT, NONE, STR, DType, IntType, ListType, OptionalType, TupleType

_HOST_CLASSES: dict[type, str] = {
    bool: "bool", int: "int", float: "float", complex: "complex", str: "str", bytes: "bytes", tuple: "tuple",
    type(None): "NoneType", range: "range", slice: "slice", PyList: "list", PyDict: "dict", PySet: "set",
    Function: "function", Builtin: "builtin_function_or_method", BoundMethod: "method", Class: "type",
    ModuleValue: "module", type(Ellipsis): "ellipsis", TypeForm: "type", Iterating: "iterator", Partial: "partial",
    Property: "property", Super: "super", type(NotImplemented): "NotImplementedType",
}


def tensor_class(ev: Evaluator) -> Class:
    """torch.Tensor"""
    found = ev.importer.tensor_class
    if found is None:
        from scriptc.frontend.torchlib.bindings import build_tensor_class

        found = ev.importer.tensor_class = build_tensor_class(ev)
    return found


def class_of(ev: Evaluator, value: Any) -> Class:
    """type(value)"""
    from scriptc.frontend.pylib.builtin_classes import builtin_class

    if isinstance(value, Instance | StructTuple):
        return value.cls
    if isinstance(value, TensorValue):
        return value.cls or (ev.importer.parameter_class(ev) if value.is_parameter else tensor_class(ev))
    if isinstance(value, Size):
        return builtin_class("Size")
    if isinstance(value, DType):
        return builtin_class("dtype")
    if isinstance(value, Device):
        return builtin_class("device")
    if isinstance(value, Class) and value.metaclass is not None:
        return value.metaclass
    if isinstance(value, PyDict):
        return builtin_class(value.kind)
    if isinstance(value, PySet) and value.frozen:
        return builtin_class("frozenset")
    if isinstance(value, Dynamic):
        kind = value.type
        name = {BOOL: "bool", FLOAT: "float", STR: "str", NONE: "NoneType"}.get(kind)  # type: ignore[arg-type]
        if name is None:
            name = "int" if isinstance(kind, IntType) else "list" if isinstance(kind, ListType) \
                else "tuple" if isinstance(kind, TupleType) else ""
        if not name:
            ev.error("E0211", what="the type of a value that may be None")
        return builtin_class(name)
    name = _HOST_CLASSES.get(type(value))
    return builtin_class(name or ("float" if isinstance(value, float) else "object"))   # np.float64 is a float


def get_attribute(ev: Evaluator, value: Any, name: str) -> Any:
    """value.name"""
    found = find_attribute(ev, value, name)
    if found is MISSING:
        missing_attribute(ev, value, name)
    return used(ev, found) if found is POISON else found


def missing_attribute(ev: Evaluator, value: Any, name: str) -> Any:
    hint = did_you_mean(name, attribute_names(ev, value))
    if isinstance(value, ModuleValue):
        return ev.throw("AttributeError", f"module '{value.name}' has no attribute '{name}'", hint)
    if isinstance(value, Class):
        return ev.throw("AttributeError", f"type object '{value.name}' has no attribute '{name}'", hint)
    return ev.throw("AttributeError", f"'{type_name(value)}' object has no attribute '{name}'", hint)


def attribute_names(ev: Evaluator, value: Any) -> list[Any]:
    """The names a value has, as far as they are known without running anything."""
    if isinstance(value, ModuleValue):
        return [*ev.importer.names_of(ev, value)]
    cls = value if isinstance(value, Class) else class_of(ev, value)
    held = [*value.slots] if isinstance(value, Instance) else []
    for table in ("_parameters", "_buffers", "_modules"):
        entries = value.slots.get(table) if isinstance(value, Instance) else None
        held += [*entries.content] if isinstance(entries, PyDict) and not entries.is_dynamic else []
    return [*held, *(n for c in cls.mro for n in c.slots)]


def find_attribute(ev: Evaluator, value: Any, name: str) -> Any:
    """value.name, or MISSING."""
    if isinstance(value, Instance):
        return instance_attribute(ev, value, name) if not value.cls.has_getattribute else through_getattribute(ev, value, name)
    if isinstance(value, TensorValue):
        return tensor_attribute(ev, value, name)
    if isinstance(value, ModuleValue):
        return ev.importer.attribute(ev, value, name)
    if isinstance(value, Class):
        return class_attribute(ev, value, name)
    if isinstance(value, Super):
        return super_attribute(ev, value, name)
    if isinstance(value, Conflict):
        used(ev, value)
    if isinstance(value, Choice):
        from scriptc.frontend.evaluator.joins import branch

        return branch(ev, value.condition, lambda: get_attribute(ev, value.first, name), lambda: get_attribute(ev, value.second, name))
    if isinstance(value, Unavailable):
        ev.error("E0220", what=value.name, reason=value.reason, hint=value.hint)
    if isinstance(value, Dynamic) and isinstance(value.type, OptionalType):
        return find_attribute(ev, some(ev, value), name)    # raises, when it runs, if there is no value
    if isinstance(value, StructTuple):
        found = value.cls.lookup(name)
        if found is not MISSING:
            if isinstance(found, Property):
                from scriptc.frontend.evaluator.calls import call

                return call(ev, found.getter, [value], {})
            return bind(ev, found, value, value.cls)
    return plain_attribute(ev, value, name)


def through_getattribute(ev: Evaluator, value: Instance, name: str) -> Any:
    """value.name of a class that defines `__getattribute__`."""
    from scriptc.frontend.evaluator.calls import call

    try:
        return call(ev, value.cls.lookup("__getattribute__"), [value, name], {})
    except LanguageError as error:
        if not error.value.cls.is_subclass(ev.importer.builtin_class("AttributeError")):
            raise
        fallback = value.cls.lookup("__getattr__")
        return call(ev, fallback, [value, name], {}) if fallback is not MISSING else MISSING


def plain_attribute(ev: Evaluator, value: Any, name: str) -> Any:
    """Attributes of builtin values: from the tables of methods."""
    from scriptc.frontend.pylib import attributes

    special_ = attributes.special_attribute(ev, value, name)
    if special_ is not MISSING:
        return special_
    found = class_of(ev, value).lookup(name)
    if found is MISSING:
        return MISSING
    return bind(ev, found, value, class_of(ev, value))


def bind(ev: Evaluator, found: Any, value: Any, cls: Class) -> Any:
    """What a class attribute becomes when it is read through an instance."""
    if isinstance(found, Function) or (isinstance(found, Builtin) and found.as_method):
        return BoundMethod(found, value)
    if isinstance(found, Property):
        from scriptc.frontend.evaluator.calls import call

        result = call(ev, found.getter, [value], {})
        return result
    if isinstance(found, StaticMethod):
        return found.function
    if isinstance(found, ClassMethod):
        return BoundMethod(found.function, cls)
    if isinstance(found, Instance):
        getter = found.cls.lookup("__get__")
        if getter is not MISSING:
            from scriptc.frontend.evaluator.calls import call

            return call(ev, getter, [found, value, cls], {})
    return found


def instance_attribute(ev: Evaluator, value: Instance, name: str) -> Any:
    cls = value.cls
    found = cls.lookup(name)
    if isinstance(found, Property) and not (found.cached and name in value.slots):
        result = bind(ev, found, value, cls)
        if found.cached:
            value.write(name, result)
        return result
    slots = value.slots
    if name in slots:
        return slots[name]
    if cls.is_module_class:
        for registry in ("_parameters", "_buffers", "_modules"):
            entries = slots.get(registry)
            if entries is not None and name in entries.content:
                return entries.content[name]
    if found is not MISSING:
        return bind(ev, found, value, cls)
    if name == "__dict__":
        return PyDict(dict(slots))
    if name == "__class__":
        return cls
    if value.native is not None:
        native = plain_attribute(ev, value.native, name)
        if native is not MISSING:
            if isinstance(native, BoundMethod) and native.self is value.native:
                return native
            return native
    fallback = cls.lookup("__getattr__")
    if fallback is not MISSING and not name.startswith("__"):
        from scriptc.frontend.evaluator.calls import call

        return call(ev, fallback, [value, name], {})
    if name in ("__module__", "__doc__"):
        return class_attribute(ev, cls, name)
    return MISSING


def tensor_attribute(ev: Evaluator, value: TensorValue, name: str) -> Any:
    from scriptc.frontend.torchlib.bindings import TENSOR_PROPERTIES

    getter = TENSOR_PROPERTIES.get(name)
    if getter is not None:
        return getter(ev, value)
    if ("attribute", name) in value.slots:
        return value.slots[("attribute", name)]
    cls = class_of(ev, value)
    found = cls.lookup(name)
    return MISSING if found is MISSING else bind(ev, found, value, cls)


def class_attribute(ev: Evaluator, cls: Class, name: str) -> Any:
    found = cls.lookup(name)
    if found is not MISSING:
        if isinstance(found, StaticMethod):
            return found.function
        if isinstance(found, ClassMethod):
            return BoundMethod(found.function, cls)
        if isinstance(found, Property) and cls.native != "enum":
            return found
        return found
    if name in ("__name__", "__qualname__"):
        return cls.name
    if cls.native and name.startswith("__"):
        from scriptc.frontend.pylib.protocol import container_method

        found = container_method(cls.native, name)
        if found is not MISSING:
            return found
    if name == "__module__":
        return cls.module
    if name == "__mro__":
        return cls.mro
    if name == "__bases__":
        return cls.bases
    if name == "__doc__":
        return None
    if name == "__annotations__":
        return PyDict(dict(cls.annotations))
    if name == "__dict__":
        return PyDict(dict(cls.slots))
    if cls.metaclass is not None:
        found = cls.metaclass.lookup(name)
        if found is not MISSING:
            return bind(ev, found, cls, cls.metaclass)
        fallback = cls.metaclass.lookup("__getattr__")
        if fallback is not MISSING:
            from scriptc.frontend.evaluator.calls import call

            return call(ev, fallback, [cls, name], {})
    from scriptc.frontend.pylib.builtin_classes import builtin_class

    found = builtin_class("type").lookup(name)
    return MISSING if found is MISSING else bind(ev, found, cls, cls)


def super_attribute(ev: Evaluator, value: Super, name: str) -> Any:
    mro = value.owner.mro
    for cls in mro[mro.index(value.start) + 1:]:
        if name in cls.slots:
            found = cls.slots[name]
            if isinstance(value.self, Class):
                return BoundMethod(found.function, value.self) if isinstance(found, ClassMethod) else \
                    found.function if isinstance(found, StaticMethod) else found
            return bind(ev, found, value.self, value.owner)
    if isinstance(value.self, Instance) and value.self.native is not None:
        found = plain_attribute(ev, value.self.native, name)
        if found is not MISSING:
            return found
        from scriptc.frontend.pylib.protocol import container_method

        found = container_method(value.self.cls.native, name)
        if found is not MISSING:
            return BoundMethod(found, value.self)
    from scriptc.frontend.pylib.builtin_classes import object_method

    found = object_method(name)
    return MISSING if found is MISSING else BoundMethod(found, value.self)


def set_attribute(ev: Evaluator, target: Any, name: str, value: Any) -> None:
    """target.name = value"""
    if isinstance(target, Instance):
        if name == "__class__" and isinstance(value, Class):
            if ev.recording:
                ev.error("E0222", name="assigning __class__ inside a method")
            target.cls = value
            return
        custom = target.cls.lookup("__setattr__")
        if custom is not MISSING and not isinstance(custom, Builtin):
            from scriptc.frontend.evaluator.calls import call

            call(ev, custom, [target, name, value], {})
            return
        set_instance_attribute(ev, target, name, value)
    elif isinstance(target, Class | ModuleValue):
        if isinstance(target, ModuleValue):
            ev.importer.set_attribute(ev, target, name, value)
        else:
            target.write(name, value)
    elif isinstance(target, TensorValue):
        set_tensor_attribute(ev, target, name, value)
    elif isinstance(target, Function):
        target.attributes = {**(target.attributes or {}), name: value}
    elif isinstance(target, BoundMethod) and isinstance(target.function, Function):
        set_attribute(ev, target.function, name, value)
    else:
        ev.throw("AttributeError", f"'{type_name(target)}' object has no attribute '{name}'")


def set_instance_attribute(ev: Evaluator, target: Instance, name: str, value: Any) -> None:
    """object.__setattr__, with nn.Module's sorting of parameters, buffers and submodules."""
    found = target.cls.lookup(name)
    if isinstance(found, Property) and not found.cached:
        if found.setter is None:
            ev.throw("AttributeError", f"property '{name}' of '{target.cls.name}' object has no setter")
        from scriptc.frontend.evaluator.calls import call

        call(ev, found.setter, [target, value], {})
        return
    if target.cls.is_module_class and set_module_attribute(ev, target, name, value):
        return
    target.write(name, value)


def set_module_attribute(ev: Evaluator, target: Instance, name: str, value: Any) -> bool:
    """Register a parameter, submodule or buffer as nn.Module.__setattr__ does; False for a plain attribute."""
    slots = target.slots
    if isinstance(value, TensorValue) and value.is_parameter:
        kind = "_parameters"
    elif isinstance(value, Instance) and value.cls.is_module_class:
        kind = "_modules"
    else:
        for registry in ("_parameters", "_modules", "_buffers"):
            entries = slots.get(registry)
            if entries is not None and name in entries.content:
                if registry == "_parameters" and value is not None:
                    from scriptc.frontend.torchlib.bindings.context import typename

                    ev.throw("TypeError", f"cannot assign '{typename(ev, value)}' as parameter '{name}' "
                                          "(torch.nn.Parameter or None expected)")
                entries.change()[name] = value
                return True
        if isinstance(value, TensorValue) and value.slots.get(("attribute", "is_buffer")):
            target.slots["_buffers"].change()[name] = value
            hidden = target.slots["_non_persistent_buffers_set"]
            if not value.slots.get(("attribute", "persistent"), True):
                hidden.change()[name] = None
            return True
        return False
    if kind not in slots:
        missing = "parameters" if kind == "_parameters" else "module"
        ev.throw("AttributeError", f"cannot assign {missing} before Module.__init__() call")
    for registry in ("_parameters", "_modules", "_buffers"):
        if registry != kind and name in slots[registry].content:
            del slots[registry].change()[name]
    if name in slots:
        target.erase(name)
    slots[kind].change()[name] = value
    return True


def set_tensor_attribute(ev: Evaluator, target: TensorValue, name: str, value: Any) -> None:
    if name == "data":
        from scriptc.frontend.storage import read, write

        if isinstance(value, TensorValue):
            if ev.recording:
                write(ev, target, read(ev, value))
            else:
                target.write("storage", value.storage)
                target.write("path", value.path)
                target.write("cached", None)
            return
    if name == "requires_grad":
        target.write(("attribute", "requires_grad"), bool(value))
        return
    target.write(("attribute", name), value)


def delete_attribute(ev: Evaluator, target: Any, name: str) -> None:
    """del target.name"""
    if isinstance(target, Instance):
        if target.cls.is_module_class:
            for registry in ("_parameters", "_buffers", "_modules"):
                entries = target.slots.get(registry)
                if entries is not None and name in entries.content:
                    del entries.change()[name]
                    return
        if name in target.slots:
            target.erase(name)
            return
    elif isinstance(target, Class) and name in target.slots:
        target.erase(name)
        return
    missing_attribute(ev, target, name)
