"""The only writers of state: job.py moves jobs and records events, step.py claims, fences and finishes steps.

Lock order is always job, then step. Time is the database's clock alone, so no machine's clock matters.
"""
