#!/bin/sh
# From the root file system to what is delivered: the slot (verity tree, signed
# kernel), the disk, the bundle. Buildroot calls it with the folder of images.
set -eu
images=$1
tree=$BR2_EXTERNAL_QUARTET_PATH
facts=${QUARTET_FACTS:-$BASE_DIR/quartet.facts}
fact() { sed -n "s/^$1=//p" "$facts"; }
board=$(fact BOARD) version=$(fact VERSION) keys=$(fact KEYS) data=$(fact DATA)
PATH=$HOST_DIR/bin:$HOST_DIR/sbin:$PATH
export PATH
cd "$images"

# Where the kernel lies in memory, how it speaks, which device tree.
# shellcheck source=/dev/null
. "$tree/board/$board/image.conf"
[ "$DTB" != qemu ] || {
	DTB=qemu.dtb
	# The machine's own tree; U-Boot puts in how much memory there is.
	qemu-system-aarch64 -M virt,acpi=off,dumpdtb="$DTB" -cpu cortex-a53 -smp 2 -m 512 -nographic
	# U-Boot takes QEMU's tree for its own, so that its key has to be in there.
	{ dtc -q -I dtb -O dts "$DTB"; cat "$keys/fit.dtsi"; } | dtc -q -I dts -O dtb -o machine.dtb
}

sh "$tree/scripts/make-verity" rootfs.squashfs rootfs.verity rootfs.table
[ "$(stat -c %s rootfs.verity)" -le $((512 << 20)) ] || {
	echo "post-image: rootfs.verity is larger than its partition (512 MiB)" >&2
	exit 1
}
sh "$tree/scripts/make-fit" --kernel Image.gz --compression gzip --load "$LOAD" \
	--dtb "$DTB" --table rootfs.table --args "$ARGS" --keys "$keys" --out fit.itb

# The disk. What is empty on it takes no room in the file.
{
	while IFS= read -r line; do
		case $line in
		@BOOTLOADER@) cat "$tree/board/$board/bootloader.cfg" ;;
		*) echo "$line" ;;
		esac
	done <"$tree/board/common/genimage.cfg.in"
} | sed "s/@BOARD@/$board/g; s/@DATA@/$data/g" >genimage.cfg
rm -rf genimage.tmp genimage.root
mkdir genimage.root
genimage --rootpath genimage.root --tmppath genimage.tmp --inputpath . --outputpath . --config genimage.cfg
rm -rf genimage.tmp genimage.root

# The bundle: root file system first, so that a slot half written has a kernel
# whose root hash does not fit.
bundle=quartet-$board-$version.raucb
rm -rf bundle "$bundle"
mkdir bundle
ln rootfs.verity bundle/rootfs.img
ln fit.itb bundle/boot.img
cat >bundle/manifest.raucm <<END
[update]
compatible=quartet-$board
version=$version

[bundle]
format=verity

[image.rootfs]
filename=rootfs.img

[image.boot]
filename=boot.img
END
rauc bundle --cert="${QUARTET_BUNDLE_CERT:-$keys/bundle.pem}" --key="${QUARTET_BUNDLE_KEY:-$keys/bundle.key}" \
	bundle "$bundle"
rm -rf bundle
sha256sum "$bundle" "quartet-$board.img" fit.itb rootfs.verity >SHA256SUMS
