"""Hand-written device kernels: each takes flat arrays of one dtype with offsets and sizes, and knows nothing of ops or plans."""
