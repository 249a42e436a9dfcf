"""The scorer's parts: labelled texts, their split by repository, and the regression head."""
