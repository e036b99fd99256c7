"""Coursework: assignments from one source, another one for every student, and a grader that trusts nobody.

`python -m coursework --help` lists the commands. Nothing that a student wrote is imported or unpickled by the
process that gives points: it runs in `sandbox`, and what comes out is data (`wire`).
"""
