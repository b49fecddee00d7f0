"""The lab: throwaway real hosts on this machine. The only caller of systemd-nspawn.

Everything that runs is found again from the system (control groups, loop devices, links), never from
memory, so that `lab down` cleans up whatever was killed.
"""
