"""What is done: thin Celery tasks, and below `contract` what outsiders may say.

Kept empty: importing the contract must not drag Celery in.
"""
