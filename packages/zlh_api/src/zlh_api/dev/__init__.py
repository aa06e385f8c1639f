"""The whole platform on one machine: real parts as child processes, started and ended with the orchestrator."""
