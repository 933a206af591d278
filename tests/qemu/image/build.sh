#!/bin/bash
# The lab image: Quartet's overlay, units and update configuration on a Debian
# arm64 user land, for QEMU. docs/lab-image.md explains it.
#
#   build.sh base OUT PROGRAMS                packages, tree, initramfs
#   build.sh slot OUT VERSION [CHANGES]       versions/VERSION: what a slot gets;
#                                             CHANGES: a folder laid over the tree
#   build.sh bundle OUT VERSION [COMPATIBLE]  … as RAUC bundle
#   build.sh engine OUT                       engine: a folder of changes with GStreamer's plug-ins
#   build.sh disk OUT VERSION [NAME]          NAME.img with VERSION in both slots; NAME: disk
#   build.sh evk OUT PROGRAM                  evk: a QEMU that has NXP's kit, and what it starts
#
# Nothing is done again whose inputs are as they were. Debian's packages come
# through apt, from where this machine has its own; their signatures are checked.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
common=$repo/buildroot/board/common
external=$repo/buildroot
board=$external/board/qemu-virt
quartetctl=${QUARTETCTL:-$repo/build/quartetctl}
floor=1.0.0
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
export LC_ALL=C TZ=UTC
# One time for all files: the last commit's.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$repo" log -1 --format=%ct 2>/dev/null || echo 1700000000)}

say() { echo "image: $*" >&2; }

# fresh STAMP INPUTS...: have the inputs changed since the stamp? Says so by
# failing, and leaves the new stamp's text in $stamp for stamped.
stamp=
fresh() {
	local file=$1
	shift
	stamp=$(find "$@" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
	[ -e "$file" ] && [ "$(cat "$file")" = "$stamp" ]
}
stamped() { echo "$stamp" >"$1"; }

lines() { sed 's/#.*//' "$1" | grep . | tr '\n' ' '; }

# Packages ---------------------------------------------------------------------

# aptdir [ARCHITECTURE] makes an apt of its own: Debian 13 for everything, Debian
# 12 for the kernel, nothing installed.
aptdir() {
	local site arch=${1:-arm64}
	site=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' 'Created-By: Packages' | sed -n 's/^Debian|Debian|//p' | head -n 1)
	[ -n "$site" ] || { say "this machine's apt knows no Debian mirror: run apt-get update once"; exit 2; }
	[ -e "$keyring" ] || { say "$keyring is missing: install debian-archive-keyring"; exit 2; }
	mkdir -p "$apt"/{etc/apt.conf.d,etc/preferences.d,etc/trusted.gpg.d,state/lists/partial,cache/archives/partial}
	: >"$apt/status"
	printf 'deb [arch=%s signed-by=%s] %s %s main\n' "$arch" "$keyring" "$site" trixie "$arch" "$keyring" "$site" bookworm >"$apt/etc/sources.list"
	printf 'Package: *\nPin: release n=bookworm\nPin-Priority: 100\n' >"$apt/etc/preferences"
	# What the machine's own apt needs to reach its mirror (a proxy, say) stays.
	{
		apt-config dump --format '%f "%v";%n' Acquire | grep -E '^Acquire::[a-z]+::(Proxy|CaInfo|Verify-Peer)' || true
		cat <<-E
			Dir::Etc "$apt/etc";
			Dir::State "$apt/state";
			Dir::State::status "$apt/status";
			Dir::Cache "$apt/cache";
			Dir::Cache::archives "$apt/cache/archives";
			APT::Architecture "$arch";
			APT::Architectures { "$arch"; };
			APT::Install-Recommends "false";
			APT::Sandbox::User "root";
			Acquire::Languages "none";
		E
	} >"$apt/apt.conf"
	export APT_CONFIG=$apt/apt.conf
}

debs() {
	if fresh "$out/debs.stamp" "$here/packages" && [ -d "$out/debs" ]; then return; fi
	say "packages"
	local kernel
	(
		aptdir
		apt-get -qq update
		apt-get -qq -y --download-only install $(lines "$here/packages") >/dev/null
		kernel=$(apt-cache show linux-image-arm64 | awk '/^Version: 6\.1\./ {v = 1} v && /^Depends:/ {print $2; exit}')
		cd "$apt/cache/archives"
		[ -e "$(echo "$kernel"_*.deb)" ] || apt-get -qq download "$kernel" >/dev/null
		# Older downloads stay in apt's cache; what counts is listed.
		rm -rf "$out/debs"
		mkdir "$out/debs"
		apt-get -qq -y --print-uris install $(lines "$here/packages") >/dev/null
		ln -f ./*.deb "$out/debs/"
	)
	stamped "$out/debs.stamp"
}

# Tree -------------------------------------------------------------------------

tree() {
	if fresh "$out/tree.stamp" "$out/debs" "$common/overlay" "$here/overlay" "$here/modules" "$programs" && [ -d "$out/root" ]; then return; fi
	say "tree"
	local root=$out/root version module deb
	rm -rf "$root" "$out/kernel"
	mkdir -p "$root" "$out/kernel"
	for deb in "$out"/debs/*.deb; do
		case ${deb##*/} in
		linux-image-*) dpkg-deb -x "$deb" "$out/kernel" ;;
		*) dpkg-deb -x "$deb" "$root" ;;
		esac
	done
	# What a box has no use for.
	rm -rf "$root"/usr/share/{doc,man,locale,iso-codes,info,i18n,bug,lintian,xml,bash-completion,zsh,pixmaps,menu} \
		"$root"/usr/lib/aarch64-linux-gnu/gconv "$root"/usr/lib/udev/hwdb.d "$root"/usr/bin/perl* \
		"$root"/etc/{init.d,cron.daily,cron.d,logrotate.d,default,X11} "$root"/usr/lib/systemd/system/rauc-mark-good.service
	ln -sf busybox "$root/usr/bin/sh"
	# Services that Buildroot's image does not have, and that only cost time here.
	local unit
	for unit in ldconfig systemd-binfmt systemd-hwdb-update systemd-logind systemd-user-sessions e2scrub_reap systemd-hostnamed \
		systemd-pcrphase systemd-pcrphase-sysinit systemd-tpm2-setup systemd-tpm2-setup-early systemd-pcrextend systemd-firstboot \
		systemd-update-done getty-static systemd-journal-catalog-update systemd-ask-password-console systemd-ask-password-wall dpkg-db-backup; do
		find "$root"/usr/lib/systemd/system "$root"/etc/systemd -name "$unit.*" -exec rm -rf {} +
	done
	rm -rf "$root"/etc/systemd/system/*.wants
	find "$root"/usr/lib/systemd/system -xtype l -delete

	# The kernel's modules: those that are named, and what they need.
	version=$(basename "$out"/kernel/lib/modules/*)
	depmod -b "$out/kernel" "$version"
	: >"$out/modules.initramfs"
	: >"$out/modules.root"
	while read -r where names; do
		for module in $names; do
			modprobe -d "$out/kernel" -S "$version" -C /dev/null --show-depends "$module" |
				sed -n "s,^insmod .*/lib/modules/$version/\([^ ]*\).*,\1,p" >>"$out/modules.$where"
		done
	done < <(sed 's/#.*//' "$here/modules" | grep .)
	awk '!seen[$0]++' "$out/modules.initramfs" >"$out/modules.list"
	sort -u "$out"/modules.{initramfs,root} | while read -r module; do
		install -D -m 644 "$out/kernel/lib/modules/$version/$module" "$root/usr/lib/modules/$version/$module"
	done
	cp "$out"/kernel/lib/modules/"$version"/modules.{builtin,builtin.modinfo,order} "$root/usr/lib/modules/$version/"
	depmod -b "$root" "$version"

	# Ours: the same as in Buildroot's image, then what only the lab has.
	cp -a "$common/overlay/." "$root/"
	cp -a "$here/overlay/." "$root/"
	# An emulated processor on a busy machine finds its disk late, and starts late.
	sed -i 's/device-timeout=15s/device-timeout=300s/' "$root/etc/fstab"
	sed -i 's/^JobTimeoutSec=190s/JobTimeoutSec=500s/' "$root/usr/lib/systemd/system/basic.target.d/quartet.conf"
	find "$root" -xdev -perm /6000 -type f -exec chmod a-s {} +
	install -m 755 "$programs"/* "$root/usr/bin/"
	rm -f "$root/usr/bin/quartet-gateway"
	aarch64-linux-gnu-strip "$root"/usr/bin/quartet* 2>/dev/null || strip "$root"/usr/bin/quartet* || true

	# u! (a user whose password is locked, too) is newer than this machine's
	# sysusers may be; it knows no passwords anyway.
	sed -i 's/^u! /u /' "$root"/usr/lib/sysusers.d/*.conf
	systemd-sysusers --root="$root" 2>/dev/null
	ln -sfn /proc/self/mounts "$root/etc/mtab"
	mkdir -p "$root"/etc/quartet "$root"/var/lib "$root"/proc "$root"/sys "$root"/dev "$root"/run "$root"/tmp
	find "$root/etc/ssl/certs" -mindepth 1 -delete 2>/dev/null || true
	cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
	systemctl --root="$root" preset-all --preset-mode=full >"$out/preset.log" 2>&1 || { cat "$out/preset.log" >&2; exit 1; }
	ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
	stamped "$out/tree.stamp"
}

# libraries FROM TO BUT FILES... copies the libraries that files need, as they say
# themselves, and they in turn, but for what lies in the tree BUT.
libraries() {
	local from=$1 to=$2 but=$3 sub=usr/lib/aarch64-linux-gnu lib file
	shift 3
	local todo=("$@")
	while [ ${#todo[@]} -gt 0 ]; do
		file=${todo[0]}
		todo=("${todo[@]:1}")
		for lib in $(readelf -d "$file" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p'); do
			if [ -e "$to/$sub/$lib" ] || [ -e "$but/$sub/$lib" ] || [ -e "$but/lib/$lib" ]; then continue; fi
			cp -L "$from/$sub/$lib" "$to/$sub/$lib"
			todo+=("$to/$sub/$lib")
		done
	done
}

# The initramfs: busybox, dmsetup, modules.
initramfs() {
	if fresh "$out/initramfs.stamp" "$out/tree.stamp" "$here/init" && [ -e "$out/initramfs.zst" ]; then return; fi
	say "initramfs"
	local dir=$out/initramfs root=$out/root version module
	version=$(basename "$root"/usr/lib/modules/*)
	rm -rf "$dir"
	mkdir -p "$dir"/{bin,sbin,lib/modules,usr/lib/aarch64-linux-gnu,dev,proc,sys,new}
	cp "$root/usr/bin/busybox" "$dir/bin/"
	cp "$root/usr/sbin/dmsetup" "$dir/sbin/"
	libraries "$root" "$dir" /dev/null "$dir/sbin/dmsetup"
	cp -L "$root/usr/lib/ld-linux-aarch64.so.1" "$dir/lib/" 2>/dev/null || cp -L "$root/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1" "$dir/lib/"
	ln -s usr/lib/aarch64-linux-gnu "$dir/lib/aarch64-linux-gnu" 2>/dev/null || true
	ln -sfn ../usr/lib/aarch64-linux-gnu "$dir/lib/aarch64-linux-gnu"
	: >"$dir/modules"
	while read -r module; do
		cp "$root/usr/lib/modules/$version/$module" "$dir/lib/modules/"
		basename "$module" >>"$dir/modules"
	done <"$out/modules.list"
	install -m 755 "$here/init" "$dir/init"
	find "$dir" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
	(cd "$dir" && find . -print0 | sort -z | cpio --quiet -o0 -H newc -R 0:0 --reproducible) | zstd -q -6 >"$out/initramfs.zst"
	stamped "$out/initramfs.stamp"
}

# The media engine's plug-ins, as changes to the tree.
engine() {
	if fresh "$out/engine.stamp" "$out/debs.stamp" "$here/engine" && [ -d "$out/engine" ]; then return; fi
	say "GStreamer's plug-ins"
	local dir=$out/engine all=$out/engine-debs sub=usr/lib/aarch64-linux-gnu/gstreamer-1.0 deb package plugins plugin
	rm -rf "$dir" "$all"
	mkdir -p "$dir/$sub" "$all"
	(
		apt=$out/apt-engine
		aptdir
		apt-get -qq update
		# shellcheck disable=SC2046 # a list
		apt-get -qq -y --download-only install $(sed 's/[# ].*//' "$here/engine" | grep .) >/dev/null
		for deb in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$all"; done
	)
	while read -r package plugins; do
		for plugin in $plugins; do
			cp "$all/$sub/libgst$plugin.so" "$dir/$sub/" || { say "$package has no plug-in $plugin"; exit 1; }
		done
	done < <(sed 's/#.*//' "$here/engine" | grep .)
	libraries "$all" "$dir" "$out/root" "$dir/$sub"/*.so
	rm -rf "$all"
	stamped "$out/engine.stamp"
}

# Versions ---------------------------------------------------------------------

# keys makes development keys, and a repository whose root the images trust.
keys() {
	[ ! -e "$out/keys/root.json" ] || return 0
	say "keys"
	rm -rf "$out/keys" "$out/home"
	sh "$external/scripts/dev-keys" "$out/keys" >/dev/null
	"$quartetctl" repo init "$out/home" >/dev/null
	"$quartetctl" repo root "$out/home" >"$out/keys/root.json"
}

slot() {
	local version=$1 changes=${2:-} dir=$out/versions/$1 root=$out/versions/$1/root
	mkdir -p "$dir"
	if fresh "$dir/slot.stamp" "$out/tree.stamp" "$out/initramfs.stamp" "$external/scripts" "$common/post-build.sh" "$board" "$here/parts" "$out/keys/root.json" ${changes:+"$changes"} &&
		[ -e "$dir/fit.itb" ]; then return; fi
	say "version $version"
	# A tree of links. What a version changes must be no link: it is removed first.
	rm -rf "$root"
	cp -al "$out/root" "$root"
	rm -f "$root"/{usr/lib,etc}/os-release "$root"/etc/machine-id "$root"/etc/rauc/system.conf
	[ -z "$changes" ] || cp -a --remove-destination "$changes/." "$root/"
	# The same that Buildroot does last.
	printf 'BOARD=qemu-virt\nVERSION=%s\nFLOOR=%s\nKEYS=%s\nRELEASE=\n' "$version" "$floor" "$out/keys" >"$dir/facts"
	BR2_EXTERNAL_QUARTET_PATH=$external QUARTET_FACTS=$dir/facts BASE_DIR=$dir sh "$common/post-build.sh" "$root"
	rm -f "$dir/rootfs.squashfs"
	mksquashfs "$root" "$dir/rootfs.squashfs" -all-root -noappend -no-progress -quiet -comp zstd -Xcompression-level 9 >/dev/null
	rm -rf "$root"
	sh "$external/scripts/make-verity" "$dir/rootfs.squashfs" "$dir/rootfs.verity" "$dir/rootfs.table"
	# The device tree of QEMU's machine, as the driver starts it.
	qemu-system-aarch64 -M virt,acpi=off,dtb-randomness=off,dumpdtb="$dir/qemu.dtb" -cpu cortex-a53 -smp 2 -m 768 -display none 2>/dev/null
	"$here/parts" "$dir/qemu.dtb"
	. "$board/image.conf"
	# Debian's U-Boot has no key of ours and does not look for a signature; the
	# development key's is there all the same.
	sh "$external/scripts/make-fit" --kernel "$(echo "$out"/kernel/boot/vmlinuz-*)" --load "$LOAD" --dtb "$dir/qemu.dtb" \
		--table "$dir/rootfs.table" --ramdisk "$out/initramfs.zst" --args "$ARGS" --keys "$out/keys" --out "$dir/fit.itb"
	rm -f "$dir"/{rootfs.squashfs,rootfs.table,qemu.dtb,facts}
	stamped "$dir/slot.stamp"
}

# bundle makes the RAUC bundle of a version, for COMPATIBLE in place of this
# board's if it is given.
bundle() {
	local version=$1 compatible=${2:-quartet-qemu-virt} dir=$out/versions/$1
	local file=$dir/$compatible-$version.raucb work=$dir/bundle
	if fresh "$file.stamp" "$dir/slot.stamp" && [ -e "$file" ]; then return; fi
	say "bundle $version for $compatible"
	rm -rf "$work" "$file"
	mkdir "$work"
	ln "$dir/rootfs.verity" "$work/rootfs.img"
	ln "$dir/fit.itb" "$work/boot.img"
	# As board/common/post-image.sh.
	cat >"$work/manifest.raucm" <<-E
		[update]
		compatible=$compatible
		version=$version

		[bundle]
		format=verity

		[image.rootfs]
		filename=rootfs.img

		[image.boot]
		filename=boot.img
	E
	rauc bundle --cert="$out/keys/bundle.pem" --key="$out/keys/bundle.key" "$work" "$file" >"$dir/rauc.log" 2>&1 || { cat "$dir/rauc.log" >&2; exit 1; }
	rm -rf "$work" "$dir/rauc.log"
	stamped "$file.stamp"
}

disk() {
	local version=$1 name=${2:-disk} dir=$out/versions/$1
	if fresh "$out/$name.stamp" "$dir/slot.stamp" "$here/boot.cmd" "$common/uboot" "$board" && [ -e "$out/$name.img" ]; then return; fi
	say "$name"
	local boot=$out/boot
	rm -rf "$boot" "$out/$name.img"
	mkdir "$boot"
	cat "$common/uboot/quartet.env" "$board/u-boot.env" | grep -v '^#' >"$boot/quartet.env"
	mkimage -A arm64 -T script -C none -n quartet -d "$here/boot.cmd" "$boot/boot.scr" >/dev/null
	truncate -s 2G "$out/$name.img"
	# The layout of board/common/genimage.cfg.in; before it, where a board has its
	# boot loader, what leads Debian's U-Boot to quartet.env.
	sgdisk -a 2048 -U 6e2a2a0c-9b8e-4c5e-9f6a-1d2b3c4d5e00 -n 1:16M:+1M -c 1:env \
		-n 2:17M:+64M -c 2:boot-a -n 3:81M:+64M -c 3:boot-b \
		-n 4:145M:+512M -c 4:rootfs-a -n 5:657M:+512M -c 5:rootfs-b \
		-n 6:1169M:+32M -c 6:config -n 7:1201M:0 -c 7:data \
		-n 8:2M:+8M -c 8:lab -A 8:set:2 "$out/$name.img" >/dev/null
	into() { dd if="$2" of="$out/$name.img" bs=1M seek="$1" conv=notrunc,sparse status=none; }
	fs() { # MIB LABEL SIZE FOLDER
		rm -f "$out/fs.img"
		mke2fs -q -F -t ext4 -L "$2" -m 0 -O "${5:-}" -E hash_seed=6e2a2a0c-9b8e-4c5e-9f6a-1d2b3c4d5e6f -U 6e2a2a0c-9b8e-4c5e-9f6a-1d2b3c4d5e6f ${4:+-d "$4"} "$out/fs.img" "$3"
		into "$1" "$out/fs.img"
		rm -f "$out/fs.img"
	}
	# U-Boot 2023.01 reads ext4 without these two.
	fs 2 lab 8M "$boot" ^metadata_csum,^64bit
	fs 1169 config 32M ""
	fs 1201 data 846M ""
	into 17 "$dir/fit.itb"
	into 81 "$dir/fit.itb"
	into 145 "$dir/rootfs.verity"
	into 657 "$dir/rootfs.verity"
	stamped "$out/$name.stamp"
}

# NXP's kit ---------------------------------------------------------------------

# evk PROGRAM: Debian 12's QEMU has no i.MX 8M Plus, Debian 13's has. It is
# unpacked, and its own loader finds its libraries. What it starts: the kernel and
# modules of the slots, the kit's own device tree with two parts more, busybox and
# the program.
evk() {
	local dir=$out/evk program=$1 arch tree version i2c=/soc@0/bus@30800000/i2c@30a40000 deb name
	if fresh "$out/evk.stamp" "$here/evk" "$here/build.sh" "$out/tree.stamp" "$program" && [ -e "$dir/initramfs.zst" ]; then return; fi
	say "NXP's kit"
	arch=$(dpkg --print-architecture)
	mkdir -p "$dir"
	if ! [ -x "$dir/qemu/usr/bin/qemu-system-aarch64" ]; then
		rm -rf "$dir/qemu" "$dir/qemu.part"
		mkdir "$dir/qemu.part"
		(
			apt=$out/apt-qemu
			aptdir "$arch"
			apt-get -qq update
			apt-get -qq -y --download-only install qemu-system-arm >/dev/null
			for deb in "$apt"/cache/archives/*.deb; do
				name=${deb##*/}
				case $name in lib* | qemu-system-arm_* | qemu-system-data_*) dpkg-deb -x "$deb" "$dir/qemu.part" ;; esac
			done
		)
		mv "$dir/qemu.part" "$dir/qemu"
	fi
	version=$(basename "$out"/kernel/lib/modules/*)
	cp "$out/kernel/boot/vmlinuz-$version" "$dir/Image"
	cp "$out/kernel/usr/lib/linux-image-$version/freescale/imx8mp-evk.dtb" "$dir/evk.dtb"
	fdtput -p -t s "$dir/evk.dtb" $i2c/temperature-sensor@48 compatible ti,tmp105
	fdtput -t x "$dir/evk.dtb" $i2c/temperature-sensor@48 reg 48
	fdtput -p -t s "$dir/evk.dtb" $i2c/eeprom@50 compatible atmel,24c32
	fdtput -t x "$dir/evk.dtb" $i2c/eeprom@50 reg 50
	tree=$dir/tree
	rm -rf "$tree"
	mkdir -p "$tree"/{bin,lib/modules,dev,proc,sys,tmp}
	cp "$out/root/usr/bin/busybox" "$tree/bin/"
	: >"$tree/modules"
	for name in i2c-imx lm75 at24 leds-gpio ledtrig-timer imx2_wdt; do
		modprobe -d "$out/kernel" -S "$version" -C /dev/null --show-depends $name | sed -n "s,^insmod \([^ ]*\).*,\1,p"
	done | awk '!seen[$0]++' | while read -r deb; do
		cp "$deb" "$tree/lib/modules/"
		basename "$deb" >>"$tree/modules"
	done
	install -m 755 "$here/evk/init" "$tree/init"
	install -m 755 "$program" "$tree/bin/program"
	(cd "$tree" && find . -print0 | sort -z | cpio --quiet -o0 -H newc -R 0:0) | zstd -q -6 >"$dir/initramfs.zst"
	rm -rf "$tree"
	stamped "$out/evk.stamp"
}

command=${1:-}
out=$(mkdir -p "${2:?folder}" && cd "$2" && pwd)
apt=$out/apt
case $command in
base)
	programs=$(cd "${3:?programs}" && pwd)
	debs
	tree
	initramfs
	;;
slot)
	keys
	slot "$3" "${4:-}"
	;;
bundle) bundle "$3" "${4:-}" ;;
engine) engine ;;
disk) disk "$3" "${4:-}" ;;
evk) evk "$(realpath "${3:?program}")" ;;
*)
	sed -n '2,16s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
