"""What is kept of the hosts before anything is restarted: collected, sealed, copied, and checked again."""
