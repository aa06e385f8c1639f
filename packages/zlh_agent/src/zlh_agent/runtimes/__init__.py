"""Toolchains out of the signed catalog: installed by a child that can be killed, recorded, and put on PATH."""
