"""What source code is, read from its bytes: syntax, structure, marks of generated files."""
