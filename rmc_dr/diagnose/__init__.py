"""Decision trees: from a complaint to one proven leaf. Trees are data, questions are pure."""
