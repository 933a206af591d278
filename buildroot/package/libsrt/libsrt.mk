################################################################################
#
# libsrt
#
################################################################################

LIBSRT_VERSION = 1.5.4
LIBSRT_SITE = $(call github,Haivision,srt,v$(LIBSRT_VERSION))
LIBSRT_LICENSE = MPL-2.0
LIBSRT_LICENSE_FILES = LICENSE
LIBSRT_CPE_ID_VENDOR = haivision
LIBSRT_CPE_ID_PRODUCT = srt
LIBSRT_INSTALL_STAGING = YES
LIBSRT_DEPENDENCIES = host-pkgconf openssl

# libsrt 1.5.4 asks for CMake 2.8.12, which CMake 4 does not play any more.
# EVP: OpenSSL chooses the processor's AES instructions, which the default
# (openssl) does not. Both ends need nothing else than before.
LIBSRT_CONF_OPTS = \
	-DCMAKE_POLICY_VERSION_MINIMUM=3.5 \
	-DENABLE_APPS=OFF \
	-DENABLE_ENCRYPTION=ON \
	-DENABLE_LOGGING=ON \
	-DENABLE_SHARED=ON \
	-DENABLE_STATIC=OFF \
	-DENABLE_STDCXX_SYNC=ON \
	-DUSE_ENCLIB=openssl-evp

$(eval $(cmake-package))
