#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the strict model reported while 82599.sh ran, in the file ERRORS: nothing but what the distribution's ixgbe is known
# to do against the datasheet, and nothing of its ixgbevf. KTAP.

[ -s "${ERRORS:-}" ] || {
	printf 'KTAP version 1\n1..0 # SKIP ERRORS does not name the log of QEMU\n'
	exit 4
}
# Reserved bits of EIMS, of EITR, of FCRTH without a packet buffer; in `ethtool -t` those of RAH and RDLEN, and STATUS.
known='82599 PF 0: (write of reserved bits: .* (EIMS|EITR|FCRTH|RAH|receive queue)|write to a read-only register: .* STATUS)$'
echo 'KTAP version 1'
echo '1..2'
status=0
if unknown=$(grep -Ev "$known" "$ERRORS"); then
	echo "not ok 1 no violation but the known ones of ixgbe"
	sort <<<"$unknown" | uniq -c | head -n 20 | sed 's/^/# /'
	status=1
else
	echo "ok 1 no violation but the known ones of ixgbe"
fi
# The self-test writes STATUS: had it not been reported, nothing would be.
if grep -q 'STATUS$' "$ERRORS"; then echo "ok 2 violations are reported"; else
	echo "not ok 2 violations are reported"
	status=1
fi
exit $status
