"""`python -m cbi_assets.cli`, where the script is not on the path."""

from cbi_assets.cli import main

main()
