package identity

import (
	"testing"
	"time"

	"quartet/device/durable/powercut"
)

// The clock of a box without a battery: never before what is certain.
func TestClockFloor(t *testing.T) {
	disk := powercut.New()
	wall := &wallClock{}
	clock := func() *Clock {
		c, err := openClockIn(ClockConfig{Build: built, Now: wall.now, Synchronised: wall.synchronised}, disk)
		if err != nil || c.Problem() != nil {
			t.Fatal(err, c.Problem())
		}
		return c
	}
	save := func(c *Clock) {
		t.Helper()
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
	}
	wall.set(time.Unix(0, 0), false)
	c := clock()
	if !c.Now().Equal(built) || !c.Behind() || c.Synchronised() {
		t.Fatalf("in 1970: %v", c.Now())
	}
	// A time that is only believed is used, and not kept.
	wall.set(today.AddDate(10, 0, 0), false)
	if save(c); !c.Floor().Equal(built) || !c.Now().Equal(today.AddDate(10, 0, 0)) || c.Behind() {
		t.Fatalf("floor %v, now %v", c.Floor(), c.Now())
	}
	wall.set(today, true)
	if save(c); !c.Floor().Equal(today) {
		t.Fatalf("floor %v", c.Floor())
	}
	// The power goes, and the clock with it.
	wall.set(time.Unix(1000, 0), false)
	if c = clock(); !c.Now().Equal(today) || !c.Behind() {
		t.Fatalf("after a restart: %v", c.Now())
	}
	// Who says that 1970 is synchronised is wrong.
	wall.set(time.Unix(2000, 0), true)
	if save(c); !c.Floor().Equal(today) || c.Synchronised() {
		t.Fatalf("floor %v", c.Floor())
	}
	// An hour back (F17) is not before the floor by more than that.
	wall.set(today.Add(-time.Hour), true)
	if !c.Now().Equal(today) {
		t.Error(c.Now())
	}
	if BuildTime().Before(earliest) {
		t.Error(BuildTime())
	}
}

// F19: whatever the cut, the clock opens, and its floor is the old or the new
// one.
func TestF19Clock(t *testing.T) {
	for fuse := 0; ; fuse++ {
		disk := powercut.New()
		wall := &wallClock{t: today, synced: true}
		cfg := ClockConfig{Build: built, Now: wall.now, Synchronised: wall.synchronised}
		c, err := openClockIn(cfg, disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
		later := today.Add(time.Hour)
		wall.set(later, true)
		disk.Fuse(fuse)
		saved := c.Save()
		for _, d := range disk.Crashes() {
			again, err := openClockIn(cfg, d)
			if err != nil || !again.Floor().Equal(later) && (saved == nil || !again.Floor().Equal(today)) {
				t.Fatalf("step %d: %v, %v", fuse, again.Floor(), err)
			}
		}
		if saved == nil {
			break
		}
	}
	disk := powercut.New()
	disk.Set(clockFile, []byte("x"))
	disk.Set(clockFile+".copy", nil)
	c, err := openClockIn(ClockConfig{Build: built}, disk)
	if err != nil || c.Problem() == nil || !c.Floor().Equal(built) {
		t.Error(err, c.Problem(), c.Floor())
	}
}
