"""Conformance suites, hypothesis strategies and state machines for whoever implements a contract of ours.

Subclass a suite in your own tests, give it your implementation, and pytest runs the promises of the contract.
"""
