"""`python -m zlh_agent` is `zlh-agent`."""

from zlh_agent.cli import main

main()
