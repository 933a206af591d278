// Package kernel gives access to a board's hardware through the kernel's own
// drivers: hwmon for temperatures, fans and supplies, the LED class, the GPIO
// character device, at24 memories, the watchdog's status, the device tree. Every
// path lies below a Root, so that tests give it a folder of files.
//
// GPIO lines are periph.io's gpio.PinIn and gpio.PinOut, so that what is built
// on them is tested with gpiotest.
package kernel
