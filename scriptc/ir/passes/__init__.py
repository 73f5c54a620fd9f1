"""Passes: functions from Function to Function, one a file; their docstrings show the program before and after.

In: a verified function. Out: an equivalent one, verified again under `SCRIPTC_VERIFY=2`.
"""
