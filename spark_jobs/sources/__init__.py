"""Where code comes from: archives, folders, and what their members are."""
