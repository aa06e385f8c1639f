"""The `proxmox` driver: guests are containers of a Proxmox VE cluster, made by its API and a shell on its nodes."""
