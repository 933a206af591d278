package srt

import (
	"testing"
	"time"
)

// A message that is sent late with its age is handed on when it was due, beside
// one that was sent in time; without it, it comes as late as it was sent.
func TestAgedMessagesKeepTheirTime(t *testing.T) {
	const late = 150 * time.Millisecond
	gap := func(age time.Duration) time.Duration {
		out, in := pair(t, Options{Latency: 600 * time.Millisecond}, Options{Latency: 600 * time.Millisecond})
		defer out.Close()
		defer in.Close()
		// Older than the connection counts as its age: let it grow.
		time.Sleep(late + 50*time.Millisecond)
		if n, err := out.Send([][]byte{{1}}); n != 1 {
			t.Fatal(n, err)
		}
		time.Sleep(late)
		if n, err := out.SendAged([][]byte{{2}}, []time.Duration{age}); n != 1 {
			t.Fatal(n, err)
		}
		var due []time.Time
		b := NewBatch(4)
		for deadline := time.Now().Add(5 * time.Second); len(due) < 2; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the messages did not come")
			}
			n, err := in.Recv(b)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				due = append(due, time.Now().Add(-b.Late(i)))
			}
		}
		return due[1].Sub(due[0])
	}
	if d := gap(0); d < late-20*time.Millisecond {
		t.Errorf("sent %v later without age: due %v later", late, d)
	}
	// The sleep may have taken longer than it should, never shorter.
	if d := gap(late); d > 60*time.Millisecond {
		t.Errorf("sent %v later with that age: due %v later, want at the same time", late, d)
	}
	// An age beyond all bounds is not refused.
	out, in := pair(t, Options{}, Options{})
	defer out.Close()
	defer in.Close()
	if n, err := out.SendAged([][]byte{{1}}, []time.Duration{time.Hour}); n != 1 || err != nil {
		t.Errorf("an hour's age: %d taken, %v", n, err)
	}
}
