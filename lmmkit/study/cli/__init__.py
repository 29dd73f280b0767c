"""The command line `lmmkit`. Read `app.py` first: each command imports what it needs when it is called."""
