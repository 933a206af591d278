# Debian's U-Boot looks for this script; a board's own has quartet.env built in.
# From here on the lines of Buildroot's image are at work.
load ${devtype} ${devnum}:${distro_bootpart} ${scriptaddr} /quartet.env
env import -t ${scriptaddr} ${filesize}
run bootcmd
