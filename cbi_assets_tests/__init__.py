"""The tests of cbi_assets."""

import os

# `cbi` wraps its lines if COLUMNS states a width, and tests compare whole lines. readline, which
# pytest imports, states the width of a terminal to all processes that it starts: pytest-xdist's
# workers, and the server in processes.py.
os.environ.pop("COLUMNS", None)
