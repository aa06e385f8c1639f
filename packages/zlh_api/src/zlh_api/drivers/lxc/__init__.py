"""The `lxc` driver: unprivileged LXC containers on this host, each a folder, on a bridge that is closed by default.

lxc_config     what LXC reads of a guest: pure text          network_rules  what nftables holds of all: pure text
guest_folders  the folders, their marks, what a crash left   network        the bridge and the tables
storage        images, mounts, copies of the template        control_groups limits, and what runs
identity       files put in where a customer may have been   host           effects on this host, one place for all
"""
