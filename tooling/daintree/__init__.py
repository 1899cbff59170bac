"""Daintree's build system for machine learning: components, pipelines and the runs they leave behind."""

__version__ = "0.1.0"
