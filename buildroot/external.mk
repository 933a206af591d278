include $(sort $(wildcard $(BR2_EXTERNAL_QUARTET_PATH)/package/*/*.mk))

# What the boot loader is built from beside its own source: the environment of
# this board (named in configs/fragments/boot.config), and the public key that signed
# kernels must fit (in board/common/uboot/uboot.config).
ifeq ($(BR2_PACKAGE_QUARTET)$(BR2_TARGET_UBOOT),yy)

QUARTET_UBOOT_ENV = $(BASE_DIR)/quartet-uboot.env

define QUARTET_UBOOT_INPUTS
	cat $(BR2_EXTERNAL_QUARTET_PATH)/board/common/uboot/quartet.env \
		$(BR2_EXTERNAL_QUARTET_PATH)/board/$(QUARTET_BOARD)/u-boot.env \
		> $(QUARTET_UBOOT_ENV)
	test -f $(QUARTET_KEYS)/fit.dtsi || { \
		echo "quartet: $(QUARTET_KEYS)/fit.dtsi is missing: make keys with buildroot/scripts/dev-keys, or set QUARTET_KEYS" >&2; \
		exit 1; }
	$(INSTALL) -D -m 0644 $(QUARTET_KEYS)/fit.dtsi \
		$(UBOOT_DIR)/arch/arm/dts/quartet-key.dtsi
endef
UBOOT_POST_PATCH_HOOKS += QUARTET_UBOOT_INPUTS
UBOOT_PRE_BUILD_HOOKS += QUARTET_UBOOT_INPUTS

endif
