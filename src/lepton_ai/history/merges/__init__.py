"""The methods that merge one tensor of several models into one: a method a file, found through entry points."""
