"""Gradients of whole models from real packages beside torch's, in float32 and in double precision."""
