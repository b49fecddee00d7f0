"""The object store that backups lie in: where it answers, how it is reached, what each key may really do."""
