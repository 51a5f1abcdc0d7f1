#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The PF driver on an adapter of this machine, with another one on the same cable. COMPSC_RESTORES: restores under
# traffic are a fifth of it.
. "$(dirname -- "$0")/lib.sh"
[ -e "$COMPSC_MODULES/igb_compsc.ko" ] || skip "$COMPSC_MODULES/igb_compsc.ko is missing: make modules"
exec "$testbed" selftest-pf --restores $((${COMPSC_RESTORES:-20} / 5))
