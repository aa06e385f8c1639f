"""The customer's side of a dev container: the environment of its shells and the files of its home folder."""
