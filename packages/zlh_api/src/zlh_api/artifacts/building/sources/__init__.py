"""Where the files of a runtime come from: a module for each kind of source, all held to a hash, behind one port."""
