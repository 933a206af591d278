// Command quartet-engine is the media engine: the one program that links
// GStreamer. quartetd starts it and starts it again when it dies; a crash in
// here costs a second of picture and not the stream.
//
//	quartet-engine <config.json            the engine, on inherited sockets
//	quartet-engine --make-slate FILE <config.json
//	quartet-engine --watch <config.json    look at the feed on socket 6
//	quartet-engine --check <config.json    are all elements there?
//
// The way of the data: two capture pipelines that may fail and be started again
// (pictures: test or V4L2; sound: test or ALSA) → bridge, which gives each frame
// its place in media time (capture/genlock) → appsrc of the encode pipeline,
// which never stops → encoders → mpegtsmux → socket 3. Commands and events pass as JSON lines over
// socket 4, a thumbnail a second over socket 5. capture/engine is the other end.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"quartet/capture/engine"
)

var version = "unknown" // set by the linker

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stderr)) }

func run(args []string, stdin io.Reader, stderr io.Writer) int {
	flags := flag.NewFlagSet("quartet-engine", flag.ContinueOnError)
	flags.SetOutput(stderr)
	slate := flags.String("make-slate", "", "encode the slate into this `file` and end")
	watch := flags.Bool("watch", false, "decode a feed to look at it, and do nothing else")
	check := flags.Bool("check", false, "find the elements that are needed and end")
	show := flags.Bool("version", false, "print the version and end")
	if err := flags.Parse(args); err != nil {
		return engine.ExitUsage
	}
	if *show {
		fmt.Println("quartet-engine", version)
		return 0
	}
	// The daemon's pipe, or a file of a developer's.
	text, err := io.ReadAll(io.LimitReader(stdin, 1<<20))
	if err == nil && *watch {
		return runWatch(text, stderr)
	}
	var c *engine.Config
	if err == nil {
		c, err = engine.ParseConfig(text)
	}
	if err != nil {
		fmt.Fprintln(stderr, "quartet-engine:", err)
		return engine.ExitUsage
	}
	if err := initGStreamer(); err != nil {
		fmt.Fprintln(stderr, "quartet-engine:", err)
		return engine.ExitFailed
	}
	x, err := choose(c, exists)
	if err != nil {
		fmt.Fprintln(stderr, "quartet-engine:", err)
		if errors.As(err, &missing{}) {
			return engine.ExitMissing
		}
		return engine.ExitUsage
	}
	switch {
	case *check:
		fmt.Println(x.video.element)
		return 0
	case *slate != "":
		err = makeSlate(c, x, *slate)
	default:
		err = serve(c, x)
	}
	if err != nil {
		fmt.Fprintln(stderr, "quartet-engine:", err)
		return engine.ExitFailed
	}
	return 0
}

// runWatch is the process that looks at a feed.
func runWatch(text []byte, stderr io.Writer) int {
	c, err := engine.ParseWatchConfig(text)
	if err != nil {
		fmt.Fprintln(stderr, "quartet-engine:", err)
		return engine.ExitUsage
	}
	if err = initGStreamer(); err == nil {
		err = serveWatch(c)
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, &missing{}):
		fmt.Fprintln(stderr, "quartet-engine:", err)
		return engine.ExitMissing
	}
	fmt.Fprintln(stderr, "quartet-engine:", err)
	return engine.ExitFailed
}

// makeSlate encodes the slate; the file appears whole or not at all.
func makeSlate(c *engine.Config, x chosen, file string) error {
	temp := file + ".part"
	p, err := parse(slateText(c, x, temp))
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	p.play()
	for {
		m := p.next(slateWithin)
		switch m.kind {
		case nothing:
			err = errors.New("the slate is not done in time")
		case failure:
			err = fmt.Errorf("slate: %s: %s", m.source, m.text)
		case ended:
			p.close()
			return os.Rename(temp, file)
		default:
			continue
		}
		p.close()
		return err
	}
}
