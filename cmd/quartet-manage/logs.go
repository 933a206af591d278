package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"quartet/device/web"
)

// ringLines is how many of this process's own lines are kept, for a machine
// without a journal.
const ringLines = 1000

// lineRing is the log's writer: it hands lines on and keeps the last ones. It is
// web.LogSource.
type lineRing struct {
	out io.Writer

	mu    sync.Mutex // guards what follows
	lines []web.LogLine
}

func (l *lineRing) Write(p []byte) (int, error) {
	line := web.LogLine{Time: time.Now(), Unit: "quartet-manage", Level: levelOf(string(p)), Text: clipLine(strings.TrimSpace(string(p)))}
	l.mu.Lock()
	if len(l.lines) >= ringLines {
		l.lines = append(l.lines[:0], l.lines[len(l.lines)-ringLines/2:]...)
	}
	l.lines = append(l.lines, line)
	l.mu.Unlock()
	return l.out.Write(p)
}

// clipLine bounds a line.
func clipLine(s string) string {
	const most = 2000
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// levelOf finds the level that slog wrote, as text or as JSON.
func levelOf(s string) string {
	for _, level := range []string{"error", "warn", "debug"} {
		up := strings.ToUpper(level)
		if strings.Contains(s, "level="+up) || strings.Contains(s, `"level":"`+up+`"`) {
			return level
		}
	}
	return "info"
}

// journalTime is what the journal may take.
const journalTime = 5 * time.Second

// Lines asks the journal; where there is none, it has this process's own lines.
func (l *lineRing) Lines(ctx context.Context, q web.LogsQuery) (web.Logs, error) {
	ctx, cancel := context.WithTimeout(ctx, journalTime)
	defer cancel()
	args := []string{"--no-pager", "--output=json", "--output-fields=MESSAGE,_SYSTEMD_UNIT", "--lines=" + strconv.Itoa(q.Lines)}
	units := []string{q.Unit}
	if q.Unit == "all" {
		units = []string{"quartetd", "quartet-manage", "quartet-netd"}
	}
	for _, u := range units {
		args = append(args, "--unit="+u+".service")
	}
	out, err := exec.CommandContext(ctx, "journalctl", args...).Output()
	if err == nil {
		if list := parseJournal(out); len(list) > 0 {
			return web.Logs{Lines: list}, nil
		}
	}
	v := web.Logs{Note: "the journal has nothing for these units; these are the lines that quartet-manage remembers"}
	if q.Unit != "all" && q.Unit != "quartet-manage" {
		return v, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v.Lines = append(v.Lines, l.lines[max(0, len(l.lines)-q.Lines):]...)
	return v, nil
}

// parseJournal reads journalctl's JSON lines; what it cannot read it leaves out.
func parseJournal(out []byte) (list []web.LogLine) {
	for line := range bytes.Lines(out) {
		var e struct {
			Message any    `json:"MESSAGE"` // a string, or bytes where it is no UTF-8
			Unit    string `json:"_SYSTEMD_UNIT"`
			Micros  string `json:"__REALTIME_TIMESTAMP"`
		}
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		text, ok := e.Message.(string)
		us, err := strconv.ParseInt(e.Micros, 10, 64)
		if !ok || err != nil {
			continue
		}
		list = append(list, web.LogLine{Time: time.UnixMicro(us).UTC(), Unit: strings.TrimSuffix(e.Unit, ".service"), Level: levelOf(text), Text: clipLine(text)})
	}
	return list
}
