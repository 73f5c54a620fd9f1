"""Nested containers as leaves and a form: tuples, named tuples, lists, dicts, ordered dicts, and the classes that were registered."""
from collections import OrderedDict

_REGISTERED = {}


class LeafSpec:
    num_leaves = 1

    def __repr__(self):
        return "*"

    def __eq__(self, other):
        return isinstance(other, LeafSpec)


class TreeSpec:
    def __init__(self, type, context, children_specs):
        self.type = type
        self.context = context
        self.children_specs = children_specs
        self.num_leaves = sum([child.num_leaves for child in children_specs])

    def unflatten(self, leaves):
        return tree_unflatten(leaves, self)

    def __eq__(self, other):
        return (isinstance(other, TreeSpec) and self.type is other.type and self.context == other.context
                and self.children_specs == other.children_specs)


def register_pytree_node(cls, flatten_fn, unflatten_fn, **kwargs):
    _REGISTERED[cls] = (flatten_fn, unflatten_fn)


_register_pytree_node = register_pytree_node


def _children(tree):
    """(type, context, children), or None for a leaf."""
    kind = type(tree)
    if kind in _REGISTERED:
        children, context = _REGISTERED[kind][0](tree)
        return kind, context, list(children)
    if kind is dict or kind is OrderedDict:
        return kind, list(tree.keys()), list(tree.values())
    if kind is list or kind is tuple:
        return kind, None, list(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return kind, kind, list(tree)
    return None


def tree_flatten(tree, is_leaf=None):
    found = None if is_leaf is not None and is_leaf(tree) else _children(tree)
    if found is None:
        return [tree], LeafSpec()
    leaves = []
    specs = []
    for child in found[2]:
        below, spec = tree_flatten(child, is_leaf)
        leaves = leaves + below
        specs.append(spec)
    return leaves, TreeSpec(found[0], found[1], specs)


def tree_unflatten(leaves, treespec):
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError("tree_unflatten(leaves, treespec): `leaves` has length " + str(len(leaves)) + " but the spec refers to a pytree that holds "
                         + str(treespec.num_leaves) + " items")
    if isinstance(treespec, LeafSpec):
        return leaves[0]
    children = []
    start = 0
    for spec in treespec.children_specs:
        children.append(tree_unflatten(leaves[start:start + spec.num_leaves], spec))
        start += spec.num_leaves
    kind, context = treespec.type, treespec.context
    if kind in _REGISTERED:
        return _REGISTERED[kind][1](children, context)
    if kind is dict or kind is OrderedDict:
        return kind(zip(context, children))
    if kind is list or kind is tuple:
        return kind(children)
    return kind(*children)


def tree_leaves(tree, is_leaf=None):
    return tree_flatten(tree, is_leaf)[0]


tree_iter = tree_leaves


def tree_structure(tree, is_leaf=None):
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func, tree, *rests, is_leaf=None):
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_leaves(rest, is_leaf) for rest in rests]
    return tree_unflatten([func(*parts) for parts in zip(leaves, *others)], spec)


def tree_map_only(kind, func, tree, is_leaf=None):
    return tree_map(lambda leaf: func(leaf) if isinstance(leaf, kind) else leaf, tree, is_leaf=is_leaf)


def tree_all(pred, tree, is_leaf=None):
    return all([pred(leaf) for leaf in tree_leaves(tree, is_leaf)])


def tree_any(pred, tree, is_leaf=None):
    return any([pred(leaf) for leaf in tree_leaves(tree, is_leaf)])
