"""How a trainer gives its weights to the engine, and proves that they arrived."""
