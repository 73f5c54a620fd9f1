"""Experts run as the model's own code computes them."""
from . import use_experts_implementation
