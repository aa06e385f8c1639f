"""From a public name to a container: the proxy's files, the proof that it uses them, and what answers below /.zlh/."""
