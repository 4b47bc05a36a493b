"""Answers to the exercises that their authors did not write down beside them, page by page."""
