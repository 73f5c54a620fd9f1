"""torch's own operator samples, each as a small program of the language, compared with eager torch.

In: `op_db` of torch's test suite. Out: for every operator how many samples agree, and what is left out and why.
"""
