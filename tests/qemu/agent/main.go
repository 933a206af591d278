// Command agent runs in the lab image, and nowhere else: it carries out what
// the test asks for over a virtio port of QEMU's, as root. A box has no login,
// so a test has no other way to look inside.
//
// One request and one answer are a line of JSON each.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// port is the name that the driver gives the port.
const port = "/dev/virtio-ports/quartet.lab"

type request struct {
	ID      int    `json:"id"`
	Run     string `json:"run"`       // for sh -c
	Seconds int    `json:"timeout_s"` // 0: 60
}

type answer struct {
	ID   int    `json:"id"`
	Code int    `json:"code"`  // exit code; -1: did not start, or took too long
	Out  string `json:"out"`   // both outputs
	Err  string `json:"error"` // why -1
}

func main() {
	for {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
		}
		<-time.After(200 * time.Millisecond)
	}
}

// serve answers until nobody is at the other end.
func serve() error {
	f, err := os.OpenFile(port, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var q request
		if len(lines.Bytes()) == 0 || json.Unmarshal(lines.Bytes(), &q) != nil {
			continue // the rest of what somebody else has asked
		}
		b, err := json.Marshal(carryOut(q))
		if err != nil {
			return err
		}
		if _, err := f.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return lines.Err()
}

func carryOut(q request) answer {
	limit := time.Duration(q.Seconds) * time.Second
	if limit <= 0 {
		limit = time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", q.Run)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	a := answer{ID: q.ID, Out: string(out)}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		a.Code, a.Err = -1, fmt.Sprintf("took longer than %v", limit)
	case errors.As(err, &exit):
		a.Code = exit.ExitCode()
	case err != nil:
		a.Code, a.Err = -1, err.Error()
	}
	return a
}
