"""DVC: what ``.dvc`` files and ``dvc.lock`` say in every commit, and the cache that has the bytes."""
