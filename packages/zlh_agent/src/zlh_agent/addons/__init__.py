"""Addons: programs of the platform that run beside the customer's, such as code-server; what each is as a process."""
