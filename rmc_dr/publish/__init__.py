"""Reports given out: made, kept on this machine, archived under the bucket's lock, listed, brought back."""
