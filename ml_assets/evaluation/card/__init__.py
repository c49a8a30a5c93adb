"""The model card of a version: what it is for, made of, good at, and not tested on.

After Mitchell et al., "Model cards for model reporting", FAT* 2019. `gathering` reads what is
known, `sections` says it, `rendering` writes it as Markdown and as a page.
"""
