package kernel

import (
	"testing"
	"unsafe"
)

// The sizes are in the request numbers: linux/gpio.h, 64 bit.
func TestStructSizes(t *testing.T) {
	for name, c := range map[string]struct {
		size    uintptr
		request uint
	}{
		"gpiochip_info":        {unsafe.Sizeof(chipInfo{}), ioctlChipInfo},
		"gpio_v2_line_request": {unsafe.Sizeof(lineRequest{}), ioctlGetLine},
		"gpio_v2_line_values":  {unsafe.Sizeof(lineValues{}), ioctlGetValues},
	} {
		if in := uintptr(c.request>>16) & 0x3fff; in != c.size {
			t.Errorf("%s has %d bytes, the request tells %d", name, c.size, in)
		}
	}
}
