"""What a run leaves on disk: files written atomically, the manifest, the store of steps, keys by content.

Read `manifest.py` first, then `keys.py`.
"""
