################################################################################
#
# quartet
#
################################################################################

# The tree around this one: unpacked from what "make source" of Quartet wrote,
# with vendor/, the page and a file VERSION. Nothing is downloaded for it.
QUARTET_SITE = $(realpath $(BR2_EXTERNAL_QUARTET_PATH)/..)
QUARTET_SITE_METHOD = local
QUARTET_VERSION = $(or $(file <$(QUARTET_SITE)/VERSION),unpacked)
QUARTET_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude /build --exclude /buildroot/keys --exclude node_modules
QUARTET_LICENSE = Apache-2.0
# legal-info would pack this whole tree, with what was built and the keys in it;
# scripts/release delivers the archive that it was unpacked from.
QUARTET_REDISTRIBUTE = NO
# Those of the modules are beside them.
QUARTET_LICENSE_FILES = LICENSE $(sort $(shell cd $(QUARTET_SITE) && \
	find vendor -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) 2>/dev/null))
QUARTET_GOMOD = quartet
QUARTET_DEPENDENCIES = host-pkgconf libsrt gstreamer1 gst1-plugins-base

QUARTET_BOARD = $(call qstrip,$(BR2_PACKAGE_QUARTET_BOARD))
QUARTET_DATA_SIZE = $(call qstrip,$(BR2_PACKAGE_QUARTET_DATA_SIZE))
# Development keys unless told otherwise; a release refuses them.
QUARTET_KEYS ?= $(BR2_EXTERNAL_QUARTET_PATH)/keys
QUARTET_FLOOR ?= 0.0.0
QUARTET_RELEASE ?=

QUARTET_BUILD_TARGETS = \
	cmd/quartet-engine \
	cmd/quartet-manage \
	cmd/quartet-netd \
	cmd/quartetctl \
	cmd/quartetd
QUARTET_LDFLAGS = -X main.version=$(QUARTET_VERSION)
# The box needs no symbol tables; go version -m reads what remains.
QUARTET_LDFLAGS += -s -w

define QUARTET_CHECK_SOURCE
	test -f $(@D)/vendor/modules.txt -a -f $(@D)/VERSION || { \
		echo "quartet: $(QUARTET_SITE) has no vendor/ or VERSION: use a tree unpacked from what make source writes" >&2; \
		exit 1; }
	test -f $(@D)/device/web/ui/dist/index.html || { \
		echo "quartet: $(QUARTET_SITE) has no page built: use a tree unpacked from what make source writes" >&2; \
		exit 1; }
endef
QUARTET_PRE_CONFIGURE_HOOKS += QUARTET_CHECK_SOURCE

# The numbers are fixed, because files on the data partition outlive the image
# that wrote them. usr/lib/sysusers.d/quartet.conf says the same.
define QUARTET_USERS
	- - quartet 800 * - - - Quartet
	- - quartet-netd 801 * - - - Quartet network helper
	- - quartet-panel 804 * - - - Quartet panel
	quartetd 802 quartetd 802 * /var/lib/quartetd - quartet,video,audio,render Quartet media
	quartet-manage 803 quartet-manage 803 * /var/lib/quartet - quartet,quartet-netd,quartet-panel Quartet management
endef

# What post-build and post-image are told. TAG is the archive's: the tag that the
# commit had.
define QUARTET_INSTALL_FACTS
	mkdir -p $(BASE_DIR)
	printf 'BOARD=%s\nVERSION=%s\nTAG=%s\nFLOOR=%s\nKEYS=%s\nRELEASE=%s\nDATA=%s\nGPL=%s\n' \
		'$(QUARTET_BOARD)' '$(QUARTET_VERSION)' '$(file <$(QUARTET_SITE)/TAG)' '$(QUARTET_FLOOR)' \
		'$(QUARTET_KEYS)' '$(QUARTET_RELEASE)' '$(QUARTET_DATA_SIZE)' \
		'$(BR2_PACKAGE_QUARTET_GPL)' > $(BASE_DIR)/quartet.facts
endef
QUARTET_TARGET_FINALIZE_HOOKS += QUARTET_INSTALL_FACTS

define QUARTET_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_BLK_DEV_DM)
	$(call KCONFIG_ENABLE_OPT,CONFIG_DM_INIT)
	$(call KCONFIG_ENABLE_OPT,CONFIG_DM_VERITY)
	$(call KCONFIG_ENABLE_OPT,CONFIG_SQUASHFS)
endef

$(eval $(golang-package))
