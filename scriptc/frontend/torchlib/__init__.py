"""Our torch: leaves bound to ops of the IR (`bindings`), all else written in the language itself (`source`).

In: names that model source uses. Out: values the evaluator can call. The files in `source` are parsed, never imported.
"""
