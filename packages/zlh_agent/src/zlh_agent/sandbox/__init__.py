"""What confines a process: the user it becomes, and what the kernel refuses it from then on.

A child calls `confine.enter` before it reads a byte that others wrote. Standard library alone, so that a child that
does nothing else stays as small as a shim.
"""
