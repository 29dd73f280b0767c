"""What a fit owes to single rows and groups: read `influence`."""
