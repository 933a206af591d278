package main

import (
	"quartet/cmd/internal/secrets"
	"quartet/device/audit"
	"quartet/device/config"
	"quartet/device/seal"
	"quartet/device/web"
)

// sealing is web.Secrets.
type sealing struct{ s *seal.Sealer }

func (k sealing) Unseal(path string, sealed config.Secret) (config.Secret, error) {
	return secrets.With(k.s)(path, sealed)
}

func (k sealing) Document(b *config.Box, before []byte) ([]byte, error) {
	return secrets.Document(k.s, b, before)
}

// auditLog is web.AuditLog.
type auditLog struct {
	log    *audit.Log
	failed func(error) // a record could not be written
}

func (a auditLog) Append(r web.AuditRecord) {
	outcome := r.Outcome
	if outcome == "ok" {
		outcome = audit.Done
	}
	_, err := a.log.Append(audit.Record{Time: r.Time, Boot: r.Boot, Actor: r.Actor, Role: r.Role, Source: r.Source, Action: r.Action,
		Target: r.Target, Outcome: outcome, Detail: r.Detail})
	if err != nil {
		a.failed(err)
	}
}

func (a auditLog) Query(after int64, limit int) ([]web.AuditRecord, error) {
	var list []audit.Record
	var err error
	if after > 0 {
		list, err = a.log.Query(uint64(after), limit)
	} else {
		list, err = a.log.Latest(limit)
	}
	var out []web.AuditRecord
	for _, r := range list {
		v := web.AuditRecord{Number: int64(r.Seq), Time: r.Time, Boot: r.Boot, Actor: r.Actor, Role: r.Role, Source: r.Source,
			Action: r.Action, Target: r.Target, Outcome: r.Outcome, Detail: r.Detail}
		if v.Outcome == audit.Done {
			v.Outcome = "ok"
		}
		out = append(out, v)
	}
	return out, err
}

// FactoryReset does nothing: the log lies in the data folder, which is wiped as
// a whole.
func (a auditLog) FactoryReset() error { return nil }
