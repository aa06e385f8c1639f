"""What every kind of shell and program of a real container finds: commands, variables, PATH; and the proof of it."""
