"""A version of the agent is brought to all containers, wave after wave, and halts by itself where too many fail.

model          values                              wave_rules     who is in which wave, what follows, how many are told
outcome_rules  what became of one, by its report   store          SQL
service        what people ask                     worker         the loop of each API process
command_line, commands   `zlh-api agents`
"""
