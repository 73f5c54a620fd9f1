"""Speed against peers: the same work, in the same run, interleaved, each in a process of its own.

In: plain PyTorch source under `benchmarks/models`, which torch imports and scriptc compiles. Out: a table of medians and ratios, and JSON.
"""
