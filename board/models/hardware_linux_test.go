package models

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quartet/board"
	"quartet/board/kernel"
	"quartet/board/thermal"
)

var (
	onHardware = flag.Bool("hardware", false, "this machine is a box, and somebody gives commands on standard input")
	memoryAt   = flag.String("memory", "", "I²C address of an identity memory that the model does not have: 2-0050")
)

// bench is what a command of TestHardware works on.
type bench struct {
	board  *board.Board
	memory board.Memory

	mu    sync.Mutex
	level thermal.Level
}

// TestHardware lends the board of the machine that it runs on to whoever gives
// commands, a line each; an answer is a line, "hw: " and JSON. tests/qemu runs it
// in an emulated i.MX 8M Plus kit, and does from outside what it asks for.
//
//	model                 the model's folder
//	temperatures          names, °C, limits, what thermal.Guard makes of them
//	light COLOUR RHYTHM   on the status light
//	write SERIAL          an identity into the memory
//	identity              what it holds
//	hang                  the watchdog is opened, set to 2 s, and not fed
//	end
func TestHardware(t *testing.T) {
	if !*onHardware {
		t.Skip("give -hardware on a box; make test-qemu-full does so in an emulated one")
	}
	b, err := Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	w := &bench{board: b, memory: b.Identity}
	if w.memory == nil && *memoryAt != "" {
		w.memory = kernel.Root("/").Memory(*memoryAt)
	}
	go w.watch()
	answer := func(v any) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("hw: %s\n", text)
	}
	answer("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		if len(words) == 0 {
			continue
		}
		if words[0] == "end" {
			return
		}
		v, err := w.do(words[0], words[1:])
		if err != nil {
			v = map[string]string{"error": err.Error()}
		}
		answer(v)
	}
}

// watch has thermal.Guard follow the sensors, as quartet-manage does.
func (w *bench) watch() {
	var guard thermal.Guard
	begun := time.Now()
	for range time.Tick(time.Second) {
		var readings []thermal.Reading
		blind := false
		for _, s := range w.board.Temperatures {
			c, err := s.Celsius()
			if err != nil {
				blind = true
				continue
			}
			readings = append(readings, thermal.Reading{Name: s.Name(), Celsius: c, Limit: s.Limit()})
		}
		level, _ := guard.Update(time.Since(begun), readings, blind)
		w.mu.Lock()
		w.level = level
		w.mu.Unlock()
	}
}

var (
	colours = []board.Colour{board.Off, board.Red, board.Yellow, board.Green, board.Blue, board.White}
	rhythms = []board.Rhythm{board.Steady, board.Slow, board.Fast}
)

func named[T fmt.Stringer](list []T, name string) (T, error) {
	for _, v := range list {
		if v.String() == name {
			return v, nil
		}
	}
	return list[0], fmt.Errorf("%q is none of %v", name, list)
}

func (w *bench) do(command string, args []string) (any, error) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch command {
	case "model":
		return w.board.Model, nil
	case "temperatures":
		type sensor struct {
			Name           string
			Celsius, Limit float64
		}
		var list []sensor
		for _, s := range w.board.Temperatures {
			c, err := s.Celsius()
			if err != nil {
				return nil, err
			}
			list = append(list, sensor{s.Name(), c, s.Limit()})
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		return map[string]any{"sensors": list, "level": w.level.String()}, nil
	case "light":
		c, err := named(colours, arg(0))
		if err != nil {
			return nil, err
		}
		r, err := named(rhythms, arg(1))
		if err != nil {
			return nil, err
		}
		if w.board.Status == nil {
			return nil, board.ErrNotThere
		}
		return "ok", w.board.Status.Show(board.Light{Colour: c, Rhythm: r})
	case "write":
		if w.memory == nil {
			return nil, board.ErrNotThere
		}
		data, err := board.AppendIdentity(nil, board.Identity{Model: w.board.Model, Serial: arg(0)})
		if err != nil {
			return nil, err
		}
		return "ok", w.memory.Write(data)
	case "identity":
		if w.memory == nil {
			return nil, board.ErrNotThere
		}
		data, err := w.memory.Read()
		if err != nil {
			return nil, err
		}
		return board.ParseIdentity(data)
	case "hang":
		// Closed without the magic letter, or not at all, it goes on counting.
		fd, err := unix.Open("/dev/watchdog", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		return "hanging", unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, 2)
	}
	return nil, errors.New("no such command: " + command)
}
