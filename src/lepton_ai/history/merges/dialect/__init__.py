"""Reading merge configurations in mergekit's YAML dialect, for the methods that are here.

Text → plain values (``text``) → what is asked (``reading`` makes a ``Recipe``) → what it means for each tensor
(``layers``, ``settings``).

Source: https://github.com/arcee-ai/mergekit#merge-configuration, and mergekit 0.1.5 where that is silent
"""
