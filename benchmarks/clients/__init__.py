"""
Processes that are measured: one job in (JSON, as the only argument), one line of JSON out.

Those of the peers run in an environment of their own: nothing here may need more than the standard library and the
one package that is measured.
"""
