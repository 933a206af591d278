#!/bin/sh
# Finishes the root file system before it is packed: says what it is, trusts whom
# it must, and loses what must not ship. Buildroot calls it with the folder of
# the target; the rest is in quartet.facts, which package/quartet wrote.
set -eu
target=$1
tree=$BR2_EXTERNAL_QUARTET_PATH
facts=${QUARTET_FACTS:-$BASE_DIR/quartet.facts}
fact() { sed -n "s/^$1=//p" "$facts"; }
board=$(fact BOARD) version=$(fact VERSION) tag=$(fact TAG) floor=$(fact FLOOR) keys=$(fact KEYS) release=$(fact RELEASE)

fail() {
	echo "post-build: $*" >&2
	exit 1
}

[ -d "$tree/board/$board" ] || fail "BR2_PACKAGE_QUARTET_BOARD is $board, and $tree/board has no such folder"
case $version in
[0-9]*.[0-9]*.[0-9]*) ;;
*) fail "version $version: MAJOR.MINOR.PATCH is what updates compare; make source SOURCE=1.4.0 writes it" ;;
esac

# Keys: complete always, and no development keys in a release.
sh "$tree/scripts/check-keys" ${release:+--release} "$keys"
if [ -n "$release" ]; then
	[ "$tag" = "v$version" ] || fail "version $version: a release is built from what make source wrote at the tag v$version (TAG has '$tag')"
	[ "$floor" != 0.0.0 ] || fail "QUARTET_FLOOR is not set: a release names the oldest version that boxes go back to"
fi

# What this is.
share=$target/usr/share/quartet
mkdir -p "$share"
printf '{\n  "board": "%s",\n  "version": "%s",\n  "floor": "%s"\n}\n' "$board" "$version" "$floor" >"$share/image.json"
printf 'BOARD=%s\nVERSION=%s\n' "$board" "$version" >"$share/image.env"
cat >"$target/usr/lib/os-release" <<END
NAME="Quartet"
ID=quartet
PRETTY_NAME="Quartet $version"
VERSION="$version"
VERSION_ID=$version
VARIANT_ID=$board
IMAGE_ID=quartet-$board
IMAGE_VERSION=$version
END
ln -sf ../usr/lib/os-release "$target/etc/os-release"

# Whom it believes.
if [ -f "$keys/root.json" ]; then
	install -m 0644 "$keys/root.json" "$share/root.json"
else
	echo "post-build: $keys has no root.json: this image takes no updates from a repository" >&2
	rm -f "$share/root.json"
fi
mkdir -p "$target/etc/rauc"
install -m 0644 "$keys/ca.pem" "$target/etc/rauc/keyring.pem"
sh "$tree/scripts/rauc-conf" "$board" "$floor" >"$target/etc/rauc/system.conf"
install -m 0644 "$tree/board/$board/fw_env.config" "$target/etc/fw_env.config"

# Folders that partitions are mounted on; the root cannot make them later.
mkdir -p "$target/etc/quartet" "$target/var/lib"
# Written by systemd in memory at each start.
: >"$target/etc/machine-id"
# resolved's answers.
ln -sf ../run/systemd/resolve/stub-resolv.conf "$target/etc/resolv.conf"

# Ways in that packages bring along.
mkdir -p "$target/etc/systemd/system"
for unit in debug-shell getty@ serial-getty@ console-getty container-getty@; do
	ln -sf /dev/null "$target/etc/systemd/system/$unit.service"
done
rm -f "$target"/etc/systemd/system/getty.target.wants/*
for file in usr/lib/systemd/system-generators/systemd-getty-generator \
	usr/lib/systemd/system-generators/systemd-debug-generator \
	usr/lib/systemd/system-generators/systemd-run-generator \
	usr/lib/systemd/system-generators/systemd-gpt-auto-generator \
	usr/lib/systemd/system-generators/systemd-rc-local-generator \
	usr/bin/agetty usr/sbin/agetty usr/bin/login usr/bin/su usr/bin/sulogin usr/sbin/sulogin \
	usr/bin/passwd usr/bin/gst-launch-1.0 usr/bin/gst-inspect-1.0 usr/bin/gst-typefind-1.0 usr/bin/gst-stats-1.0 \
	usr/bin/mkimage usr/bin/dumpimage usr/bin/openssl usr/bin/dbus-monitor usr/bin/dbus-test-tool; do
	rm -f "$target/$file"
done
rm -rf "$target/usr/include" "$target/usr/share/doc" "$target/usr/share/man" "$target/usr/lib/pkgconfig" "$target/usr/share/gdb"

# And what must not have come at all.
for file in usr/sbin/sshd usr/bin/sshd usr/sbin/dropbear usr/bin/dropbear usr/sbin/telnetd usr/bin/telnetd \
	usr/bin/gdb usr/bin/gdbserver usr/bin/strace usr/bin/tcpdump usr/bin/socat; do
	[ ! -e "$target/$file" ] || fail "/$file is in the image"
done
# grep fails for a folder that is not there, too: what it found counts.
found=$(grep -rlE -- '-----BEGIN ([A-Z]+ )?PRIVATE KEY-----' "$target/etc" "$target/usr/share" "$target/usr/lib/quartet" 2>/dev/null || true)
[ -z "$found" ] || fail "private keys in the image: $found"
