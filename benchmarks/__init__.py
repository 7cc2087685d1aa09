"""Measurements that a person can repeat; each prints a table. Nothing of the service imports from here."""
