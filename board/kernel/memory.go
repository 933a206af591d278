package kernel

import (
	"fmt"
	"os"

	"quartet/board"
)

// memory is an EEPROM that the at24 driver shows as a file.
type memory struct{ path string }

// Memory is the at24 memory at an I²C address, such as "1-0050"; nil if it is
// not there.
func (r Root) Memory(device string) board.Memory {
	path := r.Path("sys/bus/i2c/devices", device, "eeprom")
	if !exists(path) {
		return nil
	}
	return memory{path}
}

func (m memory) Read() ([]byte, error) { return os.ReadFile(m.path) }

func (m memory) Write(b []byte) error {
	f, err := os.OpenFile(m.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("%s: %w: is its write protection on?", m.path, err)
	}
	return f.Close()
}
