"""Every op's type rule, reference meaning and gradient against each other, against torch, and on operands they must refuse.

In: the samples of tests/samples. Out: one failure per sample and claim.
"""
