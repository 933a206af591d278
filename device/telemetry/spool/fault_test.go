package spool

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"
)

// disk is a disk that fails and loses power when it is told to. It remembers
// what is durable: a power cut leaves that, and of what was written since a
// beginning of any length; of names, those that were synced, or not.
type disk struct {
	mu      sync.Mutex
	rand    *rand.Rand
	names   map[string]*inode // as programs see them
	durable map[string]*inode // as they are after a power cut at the least
	ops     int               // calls that write so far
	broken  func(op int, what string) error
}

type inode struct {
	data   []byte
	synced int
}

func newDisk(seed uint64) *disk {
	return &disk{rand: rand.New(rand.NewPCG(seed, 1)), names: map[string]*inode{}, durable: map[string]*inode{}}
}

var errCut = errors.New("power is off")

// op counts a call and breaks it if it is to be.
func (d *disk) op(what string) error {
	d.ops++
	if d.broken != nil {
		return d.broken(d.ops, what)
	}
	return nil
}

// cut returns the disk as it is after a power cut.
func (d *disk) cut() *disk {
	after := newDisk(d.rand.Uint64())
	keep := func(name string, n *inode) {
		size := n.synced + d.rand.IntN(len(n.data)-n.synced+1)
		data := append([]byte{}, n.data[:size]...)
		if size > n.synced && d.rand.IntN(4) == 0 { // blocks that were allocated and not written
			for i := n.synced + d.rand.IntN(size-n.synced); i < size; i++ {
				data[i] = 0
			}
		}
		after.names[name] = &inode{data, size}
		after.durable[name] = after.names[name]
	}
	// Changes of names since the last Sync happened or not; a rename is one.
	for name, n := range d.durable {
		if now, ok := d.names[name]; ok && now != n && d.rand.IntN(2) == 0 {
			n = now
		} else if !ok && d.rand.IntN(2) == 0 {
			continue
		}
		keep(name, n)
	}
	for name, n := range d.names {
		if _, old := d.durable[name]; !old && d.rand.IntN(2) == 0 {
			keep(name, n)
		}
	}
	return after
}

func (d *disk) List() (list []Info, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		if err := d.broken(d.ops, "list"); err != nil {
			return nil, err
		}
	}
	for name, n := range d.names {
		list = append(list, Info{name, int64(len(n.data))})
	}
	return list, nil
}

func (d *disk) Create(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("create"); err != nil {
		return nil, err
	}
	n := &inode{}
	d.names[name] = n
	return &diskFile{d, n}, nil
}

func (d *disk) Open(name string) (Reader, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.names[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &diskFile{d, n}, nil
}

func (d *disk) Truncate(name string, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("truncate"); err != nil {
		return err
	}
	n := d.names[name]
	n.data = n.data[:size]
	n.synced = min(n.synced, int(size))
	return nil
}

func (d *disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("rename"); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("remove"); err != nil {
		return err
	}
	delete(d.names, name)
	return nil
}

func (d *disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("sync folder"); err != nil {
		return err
	}
	clear(d.durable)
	for name, n := range d.names {
		d.durable[name] = n
	}
	return nil
}

type diskFile struct {
	d *disk
	n *inode
}

func (f *diskFile) Write(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.op("write"); err != nil {
		k := f.d.rand.IntN(len(b) + 1) // some of it was written
		f.n.data = append(f.n.data, b[:k]...)
		return k, err
	}
	f.n.data = append(f.n.data, b...)
	return len(b), nil
}

func (f *diskFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.op("sync"); err != nil {
		return err
	}
	f.n.synced = len(f.n.data)
	return nil
}

func (f *diskFile) ReadAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.broken != nil {
		if err := f.d.broken(f.d.ops, "read"); err != nil {
			return 0, err
		}
	}
	if at >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *diskFile) Close() error { return nil }
