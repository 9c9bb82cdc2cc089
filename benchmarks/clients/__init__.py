"""
The measured processes: each takes one job (JSON, as its only argument) and prints one line of JSON.

The peers run in a separate environment, so their modules use only the standard library and the measured package.
"""
