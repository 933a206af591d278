package raucfake

import (
	"context"
	"fmt"
	"sync"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"

	"quartet/updater/rauc"
)

const (
	busName = "de.pengutronix.rauc"
	iface   = "de.pengutronix.rauc.Installer"
)

// Service is a box that answers on a bus as RAUC does.
type Service struct {
	box   *Box
	conn  *dbus.Conn
	props *prop.Properties

	installs sync.WaitGroup
}

type progressValue struct {
	Percent int32
	Text    string
	Depth   int32
}

// Serve puts a box on a bus under RAUC's name. Close takes it off.
func Serve(conn *dbus.Conn, b *Box) (*Service, error) {
	s := &Service{box: b, conn: conn}
	methods := map[string]any{
		"Mark": s.mark, "GetSlotStatus": s.slots, "GetPrimary": s.primary, "InstallBundle": s.install, "Info": s.info,
	}
	if b.Release > 108 {
		methods["InspectBundle"] = s.inspect
	}
	if err := conn.ExportMethodTable(methods, "/", iface); err != nil {
		return nil, err
	}
	read := func(v any) *prop.Prop { return &prop.Prop{Value: v, Emit: prop.EmitTrue} }
	props, err := prop.Export(conn, "/", prop.Map{iface: {
		"Operation": read("idle"), "LastError": read(""), "Compatible": read(b.Compatible), "Variant": read(""),
		"BootSlot": read(b.BootedSlot()), "Progress": read(progressValue{}),
	}})
	if err != nil {
		return nil, err
	}
	s.props = props
	b.mu.Lock()
	b.listeners = append(b.listeners, func(p rauc.Progress) {
		s.props.SetMust(iface, "Progress", progressValue{int32(p.Percent), p.Text, 1})
	})
	b.mu.Unlock()
	reply, err := conn.RequestName(busName, dbus.NameFlagDoNotQueue)
	if err == nil && reply != dbus.RequestNameReplyPrimaryOwner {
		err = fmt.Errorf("%s is taken", busName)
	}
	return s, err
}

// Close gives the name back, and returns when no installation is under way.
func (s *Service) Close() {
	_, _ = s.conn.ReleaseName(busName)
	s.installs.Wait()
}

func failed(err error) *dbus.Error {
	return dbus.NewError("org.gtk.GDBus.UnmappedGError.Quark._g_2dio_2derror_2dquark.Code30", []any{err.Error()})
}

func (s *Service) inspect(path string, args map[string]dbus.Variant) (map[string]dbus.Variant, *dbus.Error) {
	for k := range args {
		return nil, failed(fmt.Errorf("Unsupported key: %s", k)) //nolint:staticcheck // ST1005: RAUC's own words
	}
	m, err := check(path)
	if err != nil {
		return nil, failed(err)
	}
	// RAUC wraps its groups twice.
	group := func(m map[string]dbus.Variant) dbus.Variant { return dbus.MakeVariant(dbus.MakeVariant(m)) }
	return map[string]dbus.Variant{
		"manifest-hash": dbus.MakeVariant(m.Hash),
		"update":        group(map[string]dbus.Variant{"compatible": dbus.MakeVariant(m.Compatible), "version": dbus.MakeVariant(m.Version)}),
		"bundle":        group(map[string]dbus.Variant{"format": dbus.MakeVariant(m.Format)}),
	}, nil
}

func (s *Service) info(path string) (compatible, version string, e *dbus.Error) {
	m, err := check(path)
	if err != nil {
		return "", "", failed(err)
	}
	return m.Compatible, m.Version, nil
}

func (s *Service) mark(state, slot string) (name, message string, e *dbus.Error) {
	name, err := s.box.mark(state, slot)
	if err != nil {
		return "", "", failed(err)
	}
	return name, "marked slot " + name + " as " + state, nil
}

func (s *Service) primary() (string, *dbus.Error) {
	st, _ := s.box.Status(context.Background())
	if st.Operation != "idle" {
		return "", failed(errBusy)
	}
	if st.Primary == "" {
		return "", failed(fmt.Errorf("Failed getting primary slot: No bootable slot found")) //nolint:staticcheck // ST1005: RAUC's own words
	}
	return st.Primary, nil
}

type slotValue struct {
	Name string
	Info map[string]dbus.Variant
}

func (s *Service) slots() ([]slotValue, *dbus.Error) {
	st, _ := s.box.Status(context.Background())
	if st.Operation != "idle" {
		return nil, failed(errBusy)
	}
	var list []slotValue
	for _, sl := range st.Slots {
		info := map[string]dbus.Variant{
			"class": dbus.MakeVariant(sl.Class), "bootname": dbus.MakeVariant(sl.BootName), "state": dbus.MakeVariant(sl.State),
			"boot-status": dbus.MakeVariant(sl.BootStatus), "device": dbus.MakeVariant("/dev/null"), "type": dbus.MakeVariant("raw"),
		}
		if sl.Version != "" {
			info["bundle.version"] = dbus.MakeVariant(sl.Version)
		}
		list = append(list, slotValue{sl.Name, info})
	}
	return list, nil
}

func (s *Service) install(path string, args map[string]dbus.Variant) *dbus.Error {
	hash := ""
	for k, v := range args {
		if k != "require-manifest-hash" {
			return failed(fmt.Errorf("Unsupported key: %s", k)) //nolint:staticcheck // ST1005: RAUC's own words
		}
		hash, _ = v.Value().(string)
	}
	if err := s.box.begin(hash); err != nil {
		return failed(err)
	}
	s.props.SetMust(iface, "Operation", "installing")
	s.props.SetMust(iface, "LastError", "")
	s.installs.Go(func() {
		err := s.box.install(context.Background(), path, hash)
		result := int32(0)
		if err != nil {
			s.props.SetMust(iface, "LastError", err.Error())
			result = 1
		}
		// As RAUC does: the signal first, then it is idle.
		_ = s.conn.Emit("/", iface+".Completed", result)
		s.props.SetMust(iface, "Operation", "idle")
	})
	return nil
}
