"""`python -m lmmkit.study.cli`: the command line."""

from lmmkit.study.cli.app import main

main()
