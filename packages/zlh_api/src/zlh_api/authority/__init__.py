"""The change of the two CAs while everything runs on: who is how far, what may follow, and what an operator is told.

model     values                           rules      what follows, decided from what all processes and agents are at
store     SQL                              service    the loop of each API process, and what operators ask for
command_line, commands   `zlh-api authority`
"""
