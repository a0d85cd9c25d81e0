"""The tables as they are today, a file per subject. How they came to be so is in ``catalog/migrations/versions``."""
