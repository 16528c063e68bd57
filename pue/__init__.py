"""Continuous, evidence-grade power usage effectiveness: values in, values out."""
