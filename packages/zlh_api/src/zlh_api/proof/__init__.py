"""The proof that goes on after the first time: does each public name still lead to its container, and why not."""
