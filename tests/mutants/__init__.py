"""Mutation testing: the code is changed in thousands of small ways, and the tests must notice."""
