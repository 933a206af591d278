package trust_test

import (
	"context"
	"testing"

	"quartet/device/durable/powercut"
	"quartet/updater/trust"
)

// image is a client as an image has it that brings a root along, with what the
// box has kept.
func image(t *testing.T, folder *powercut.Disk, anchor []byte) *trust.Client {
	t.Helper()
	c, err := trust.NewClient(folder, anchor)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// signRoots makes new roots of the same keys up to a version.
func (h *home) signRoots(last int64) {
	h.t.Helper()
	for v := h.Expiries(); ; v = h.Expiries() {
		for _, e := range v {
			if e.Role == "root" && e.Version >= last {
				return
			}
		}
		if err := h.SignRoot(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// An image with the root of a new repository ends the trust in the old one,
// however far that has come; and the old image in the other slot, if it comes
// back, trusts its own again.
func TestImageOfAnotherChainRules(t *testing.T) {
	for _, tc := range []struct {
		name     string
		old      int64 // the old repository's last root
		new      int64 // the new one's, first and last root of its image
		newLater int64
	}{{"new ones", 3, 1, 1}, {"new ones that go on", 2, 1, 3}, {"as new", 2, 2, 2}, {"newer", 2, 3, 4}} {
		t.Run(tc.name, func(t *testing.T) {
			lost, fresh := newHome(t), newHome(t)
			lost.add("1.1.0", trust.Custom{})
			fresh.add("1.2.0", trust.Custom{})
			folder := powercut.New()
			old := lost.root(1)
			lost.signRoots(tc.old)
			if repo := refresh(t, image(t, folder, old), lost.source(), lost.now); repo.Root != tc.old {
				t.Fatalf("root %d", repo.Root)
			}
			fresh.signRoots(tc.new)
			anchor := fresh.root(int(tc.new))
			fresh.signRoots(tc.newLater)
			for range 2 { // what the first keeps does not lead the second astray
				repo := refresh(t, image(t, folder, anchor), fresh.source(), fresh.now)
				if repo.Root != tc.newLater || len(repo.Releases) != 1 || repo.Releases[0].Version.String() != "1.2.0" {
					t.Errorf("the new image: root %d, %v", repo.Root, repo.Releases)
				}
				_, err := image(t, folder, anchor).Refresh(t.Context(), lost.source(), lost.now)
				wantCode(t, err, trust.Altered, trust.Rollback)
				repo = refresh(t, image(t, folder, old), lost.source(), lost.now)
				if repo.Root != tc.old || len(repo.Releases) != 1 || repo.Releases[0].Version.String() != "1.1.0" {
					t.Errorf("back in the old image: root %d, %v", repo.Root, repo.Releases)
				}
				_, err = image(t, folder, old).Refresh(t.Context(), fresh.source(), fresh.now)
				wantCode(t, err, trust.Altered, trust.Rollback)
			}
		})
	}
}

// Two root keys in wrong hands: the thief's roots follow from the old image's
// as home's do. An image with home's next one ends that.
func TestImageEndsStolenChain(t *testing.T) {
	h := newHome(t)
	h.add("1.1.0", trust.Custom{})
	thief := copyFolder(t, h.dir)
	stolen := &home{t: t, dir: thief, now: h.now}
	stolen.reopen()
	first := h.root(1)
	for range 3 {
		if _, err := stolen.Rotate("root"); err != nil {
			t.Fatal(err)
		}
	}
	stolen.add("9.9.9", trust.Custom{})
	folder := powercut.New()
	if repo := refresh(t, image(t, folder, first), stolen.source(), h.now); repo.Root != 4 {
		t.Fatalf("root %d", repo.Root)
	}
	for _, role := range []string{"targets", "snapshot", "timestamp", "root"} {
		if _, err := h.Rotate(role); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []int{3, 5} { // older than the thief's, and newer
		c := image(t, folder, h.root(v))
		if repo := refresh(t, c, h.source(), h.now); repo.Root != 5 || len(repo.Releases) != 1 {
			t.Errorf("root %d, %v", repo.Root, repo.Releases)
		}
		_, err := c.Refresh(t.Context(), stolen.source(), h.now)
		wantCode(t, err, trust.Altered, trust.Rollback)
	}
}

// withheld is a repository that denies its second root, and so all that follow.
type withheld struct{ trust.Source }

func (w withheld) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	if name == "metadata/2.root.json" {
		return nil, trust.ErrNotFound
	}
	return w.Source.Get(ctx, name, limit)
}

// An image of the same chain, older or newer than what is kept, goes on with it:
// nothing older is believed, also where the server withholds roots.
func TestImageOfTheSameChainGoesOn(t *testing.T) {
	h := newHome(t)
	h.add("1.1.0", trust.Custom{})
	before := copyFolder(t, h.Public())
	folder := powercut.New()
	h.signRoots(2)
	refresh(t, image(t, folder, h.root(1)), h.source(), h.now)
	h.add("1.2.0", trust.Custom{})
	h.signRoots(4)
	for _, step := range []struct {
		anchor int
		then   int64 // the repository's last root by then
	}{{3, 4}, {1, 4}, {4, 5}, {1, 5}, {3, 6}, {1, 6}} {
		h.signRoots(step.then)
		c := image(t, folder, h.root(step.anchor))
		for _, src := range []trust.Source{h.source(), withheld{h.source()}} {
			if repo := refresh(t, c, src, h.now); repo.Root != step.then || len(repo.Releases) != 2 {
				t.Errorf("%+v from %T: root %d, %v", step, src, repo.Root, repo.Releases)
			}
		}
		_, err := c.Refresh(t.Context(), trust.Folder(before), h.now)
		wantCode(t, err, trust.Rollback)
	}
}

// What versions before chain.json have kept is read, and what the box has seen
// still counts; an image of another chain is not held back by it.
func TestKeptWithoutChain(t *testing.T) {
	h := newHome(t)
	h.add("1.1.0", trust.Custom{})
	before := copyFolder(t, h.Public())
	h.signRoots(3)
	h.add("1.2.0", trust.Custom{})
	fresh := newHome(t)
	fresh.add("2.0.0", trust.Custom{})
	for _, damage := range []func(*powercut.Disk) error{
		func(f *powercut.Disk) error { return f.Remove("chain.json") },
		func(f *powercut.Disk) error { return f.Write("chain.json", []byte("null")) },
		func(f *powercut.Disk) error { return f.Write("chain.json", []byte(`{"3":`)) },
	} {
		folder := powercut.New()
		refresh(t, image(t, folder, h.root(1)), h.source(), h.now)
		if err := damage(folder); err != nil {
			t.Fatal(err)
		}
		if repo := refresh(t, image(t, folder, fresh.root(1)), fresh.source(), fresh.now); repo.Root != 1 {
			t.Errorf("root %d", repo.Root)
		}
		folder = powercut.New()
		refresh(t, image(t, folder, h.root(1)), h.source(), h.now)
		if err := damage(folder); err != nil {
			t.Fatal(err)
		}
		c := image(t, folder, h.root(1))
		_, err := c.Refresh(t.Context(), trust.Folder(before), h.now)
		wantCode(t, err, trust.Rollback)
		for _, src := range []trust.Source{h.source(), withheld{h.source()}} {
			if repo := refresh(t, c, src, h.now); repo.Root != 3 || len(repo.Releases) != 2 {
				t.Errorf("%T: root %d, %v", src, repo.Root, repo.Releases)
			}
		}
	}
}

// The power goes at every step while an image of another chain takes over:
// either image trusts its own afterwards.
func TestPowerCutBetweenChains(t *testing.T) {
	lost, fresh := newHome(t), newHome(t)
	lost.add("1.1.0", trust.Custom{})
	lost.signRoots(2)
	fresh.add("1.2.0", trust.Custom{})
	fresh.signRoots(3)
	cuts := 0
	for step, over := 0, false; !over; step++ {
		folder := powercut.New()
		refresh(t, image(t, folder, lost.root(1)), lost.source(), lost.now)
		folder.Fuse(step)
		if _, err := image(t, folder, fresh.root(1)).Refresh(t.Context(), fresh.source(), fresh.now); err == nil {
			over = true
		} else if !folder.Off() {
			t.Fatal(err)
		}
		for _, after := range folder.Crashes() {
			cuts++
			if repo := refresh(t, image(t, after, fresh.root(1)), fresh.source(), fresh.now); repo.Root != 3 {
				t.Fatalf("step %d: root %d", step, repo.Root)
			}
		}
		for _, after := range folder.Crashes() {
			if repo := refresh(t, image(t, after, lost.root(1)), lost.source(), lost.now); repo.Root != 2 {
				t.Fatalf("step %d: back at root %d", step, repo.Root)
			}
		}
	}
	if cuts < 30 {
		t.Errorf("%d cuts", cuts)
	}
}
