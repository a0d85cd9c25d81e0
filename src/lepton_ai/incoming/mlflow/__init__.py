"""MLflow: registered models with their versions and runs, in a database or in a store of files."""
