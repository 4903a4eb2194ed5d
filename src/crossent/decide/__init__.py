"""Decisions: functions on probabilities."""
