#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Live migrations of a nested guest under traffic. COMPSC_MIGRATIONS, COMPSC_CANCELS, COMPSC_PROCESSORS: how many;
# COMPSC_GUEST_KERNEL and COMPSC_GUEST_INITRD: what the guest boots.
. "$(dirname -- "$0")/lib.sh"
[ -n "${COMPSC_GUEST_KERNEL:-}" ] && [ -n "${COMPSC_GUEST_INITRD:-}" ] ||
	skip "COMPSC_GUEST_KERNEL and COMPSC_GUEST_INITRD name what the guest boots"
exec "$testbed" selftest-migrate --migrations "${COMPSC_MIGRATIONS:-3}" --cancels "${COMPSC_CANCELS:-4}" \
	--processors "${COMPSC_PROCESSORS:-2}"
