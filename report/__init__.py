"""One self-contained HTML page about a run, built from its Delta tables and metrics files alone.

`run.py` reads, `sections/` turn what was read into blocks (figures, bars, tables, charts, code),
and `page.html.j2` lays the blocks out. A section whose data is not there yet says so and names the
command that makes it. All text from data is escaped. The page holds no script and, by its own
content security policy, loads nothing.
"""
