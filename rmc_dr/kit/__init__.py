"""The recovery kit: golden images, runtime, releases, manifest, signature. No secret in it."""
