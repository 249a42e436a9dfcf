"""One file a section: `section(run) -> Section`, which raises `Missing` where its data is not
there.
"""
