"""The demo: the whole line on real code, program by program, then expected against obtained."""
