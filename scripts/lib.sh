# SPDX-License-Identifier: GPL-2.0
# Shared by the scripts in this folder: cache folder, messages, and the way into the trixie root.
# Source it; it runs nothing by itself.

set -eu

top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/compsc

say() { printf '%s\n' "$*" >&2; }

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# recipe_key FILE...: a short name for the content of these files, so that a cache entry is found
# again only while its recipe is unchanged.
recipe_key() { cat -- "$@" | sha256sum | cut -c1-12; }

# publish TMPDIR FINAL: makes a finished tree visible in one step. An interrupted run leaves a
# *.partial folder only, which the next run deletes.
publish() {
	sync -f "$1"
	mv -T -- "$1" "$2"
}

# with_lock NAME: holds the cache lock NAME until this script ends.
with_lock() {
	mkdir -p "$cache"
	exec 9>"$cache/$1.lock"
	flock -n 9 || {
		say "waiting for another run that is preparing $1"
		flock 9
	}
}

# need_tools COMMAND:PACKAGE...: installs the packages whose command is missing on this machine.
need_tools() {
	missing=
	for pair; do
		command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
	done
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || die "these packages are missing and only root can install them:$missing"
	say "installing on this machine:$missing"
	apt-get update -q >&2
	# shellcheck disable=SC2086 # a list of package names
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2
}

# in_root ROOT COMMAND...: runs a command inside the trixie root, which it sees read-only, with the
# project at its own path, the build folder and the cache writable. All mounts are private to it.
in_root() {
	root=$1
	shift
	# The project may lie anywhere, so the top of the tree that the command sees is made anew, in
	# memory, with the root's folders bound into it.
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --propagation private sh -eu -c '
		root=$1 top=$2 cache=$3 cwd=$4
		shift 4
		new=$root/mnt
		mount -t tmpfs -o mode=755 tmpfs "$new"
		for d in "$root"/*; do
			name=${d##*/}
			if [ -L "$d" ]; then cp -P "$d" "$new/$name"; continue; fi
			[ -d "$d" ] || continue
			mkdir "$new/$name"
			case $name in
			proc | sys | dev) mount --rbind "/$name" "$new/$name" ;;
			tmp | run | root | home | mnt | srv | media | opt) chmod 1777 "$new/$name" ;;
			*)
				mount --bind "$d" "$new/$name"
				mount -o remount,bind,ro "$new/$name"
				;;
			esac
		done
		for d in "$top" "$cache"; do
			mkdir -p "$new$d" 2>/dev/null || {
				printf "error: %s cannot be reached inside the build root: its folder belongs to the system\n" "$d" >&2
				exit 1
			}
			mount --bind "$d" "$new$d"
		done
		certs=/etc/ssl/certs/ca-certificates.crt
		[ -s $certs ] && [ -f "$new$certs" ] && mount --bind $certs "$new$certs"
		[ -f "$new/etc/resolv.conf" ] && mount --bind /etc/resolv.conf "$new/etc/resolv.conf"
		exec chroot "$new" /usr/bin/env -i \
			PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
			${https_proxy:+https_proxy="$https_proxy"} ${http_proxy:+http_proxy="$http_proxy"} \
			CARGO_HOME="$cache/cargo" CARGO_HTTP_CAINFO=$certs \
			sh -c "cd \"\$0\" && exec \"\$@\"" "$cwd" "$@"
	' in_root "$root" "$top" "$cache" "$PWD" "$@"
}
