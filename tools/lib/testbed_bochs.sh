# The Intel lane.
# shellcheck shell=bash
run_bochs() { die "not yet"; }
