"""`python -m zlh_api` is `zlh-api`."""

from zlh_api.cli import main

main()
