"""The `scriptc` command: one file a verb, data to standard output, messages to standard error.

In: the command line. Out: exit codes 0 done, 1 internal, 2 usage, 3 source refused, 4 archive or weights refused, 5 difference found.
"""
