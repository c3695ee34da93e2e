"""Figures: each a function from a result or DataFrame to matplotlib `Axes`.

They change no global style. Without `ax` a figure of a column's width is made.
"""
