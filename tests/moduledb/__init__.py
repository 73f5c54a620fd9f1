"""torch's own samples of its modules (`torch.testing._internal.common_modules.module_db`), compiled and compared with eager torch.

In: the database. Out: one verdict a sample and mode. `python -m tests.moduledb` prints the table.
"""
