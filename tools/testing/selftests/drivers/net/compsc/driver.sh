#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The VF driver on a function of this machine. COMPSC_RESTORES: restores and resets under traffic.
. "$(dirname -- "$0")/lib.sh"
exec "$testbed" selftest-driver --restores "${COMPSC_RESTORES:-20}"
