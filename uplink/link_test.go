package uplink

import (
	"context"
	"testing"
	"time"

	"quartet/uplink/srt"
)

// The stream waits for its latency; what comes back does not.
func TestReportsDoNotWaitForTheLatency(t *testing.T) {
	const latency = 2 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	far, err := srt.Listen("127.0.0.1:0", srt.Options{Latency: 20 * time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	link, err := NewSRTCaller(far.Addr().String(), srt.Options{Latency: latency}).Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	c, err := far.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Latency() != latency {
		t.Errorf("latency of the stream %v, want %v", c.Latency(), latency)
	}
	begun := time.Now()
	if _, err := c.Send([][]byte{{1}}); err != nil {
		t.Fatal(err)
	}
	for heard := false; !heard; time.Sleep(time.Millisecond) {
		if err := link.Recv(func([]byte) { heard = true }); err != nil || ctx.Err() != nil {
			t.Fatalf("nothing came back: %v, %v", err, ctx.Err())
		}
	}
	if took := time.Since(begun); took > latency/2 {
		t.Errorf("a report came back after %v", took)
	}
}
