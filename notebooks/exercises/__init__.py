"""The exercises of the notebooks: one file for each page, the answers in it. Look there last."""
