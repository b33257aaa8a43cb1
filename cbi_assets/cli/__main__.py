"""Run `python -m cbi_assets.cli`, for an environment whose scripts are not on the path."""

from cbi_assets.cli import main

main()
