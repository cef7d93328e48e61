"""Figures in words, tables and plots: what every report is shown with."""
