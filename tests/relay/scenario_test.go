package relay

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

const example = `{
  "seed": 7,
  "relays": [
    {"name": "1a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9001",
     "both": {"delay_ms": 20, "burst": {"loss": 0.01, "mean_packets": 10}}, "up": {"delay_ms": 30}},
    {"name": "1b", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9002"}
  ],
  "steps": [
    {"at_ms": 1000, "relays": ["1a"], "both": {"burst": {"loss": 0.05}}, "note": "worse"},
    {"at_ms": 2000, "down": {"dead": true}},
    {"at_ms": 3000, "relays": ["1a"], "reset": true, "both": {"mtu": 1280}}
  ]
}`

func TestScenario(t *testing.T) {
	s, err := ParseScenario([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Configs()
	if err != nil {
		t.Fatal(err)
	}
	burst := Burst{Loss: 0.01, MeanPackets: 10}
	worse := Burst{Loss: 0.05, MeanPackets: 10}
	want := []Change{
		{time.Second, Up, Impairment{DelayMS: 30, Burst: worse}},
		{time.Second, Down, Impairment{DelayMS: 20, Burst: worse}},
		{2 * time.Second, Up, Impairment{DelayMS: 30, Burst: worse}},
		{2 * time.Second, Down, Impairment{DelayMS: 20, Burst: worse, Dead: true}},
		{3 * time.Second, Up, Impairment{MTU: 1280}},
		{3 * time.Second, Down, Impairment{MTU: 1280}},
	}
	if !reflect.DeepEqual(c[0].Up, Impairment{DelayMS: 30, Burst: burst}) || !reflect.DeepEqual(c[0].Down, Impairment{DelayMS: 20, Burst: burst}) {
		t.Errorf("1a starts with %+v, %+v", c[0].Up, c[0].Down)
	}
	if !reflect.DeepEqual(c[0].Schedule, want) {
		t.Errorf("1a: %+v", c[0].Schedule)
	}
	if len(c[1].Schedule) != 2 || !c[1].Schedule[1].Impairment.Dead {
		t.Errorf("1b: %+v", c[1].Schedule)
	}
}

func TestPatchKeepsListsApart(t *testing.T) {
	old := Impairment{Blackouts: []Blackout{{StartMS: 1, DurationMS: 2, PeriodMS: 3}}}
	kept, err := old.Patch([]byte(`{"loss": 0.5}`))
	if err != nil || !reflect.DeepEqual(kept.Blackouts, old.Blackouts) || kept.Loss != 0.5 {
		t.Errorf("%+v, %v", kept, err)
	}
	fresh, err := old.Patch([]byte(`{"blackouts": [{"start_ms": 9, "duration_ms": 1}]}`))
	if err != nil || fresh.Blackouts[0].PeriodMS != 0 || old.Blackouts[0].StartMS != 1 {
		t.Errorf("%+v from %+v, %v", fresh, old, err)
	}
	none, err := old.Patch([]byte(`{"blackouts": []}`))
	if err != nil || len(none.Blackouts) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
}

// Every refusal names the place.
func TestScenarioRefusals(t *testing.T) {
	relays := `"relays": [{"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"%s}]`
	with := func(impairment string) string {
		return "{" + strings.Replace(relays, "%s", `, "both": `+impairment, 1) + "}"
	}
	steps := func(s string) string { return "{" + strings.Replace(relays, "%s", "", 1) + `, "steps": [` + s + "]}" }
	for text, want := range map[string]string{
		`{}`:                             "relays is empty",
		`{"sed": 1}`:                     `"sed"`,
		with(`{}`) + "x":                 "follows",
		with(`{"los": 1}`):               `relays[0].both: json: unknown field "los"`,
		with(`{"loss": 1.5}`):            "loss is 1.5",
		with(`{"loss": "much"}`):         "loss",
		with(`{"burst": {"loss": 0.1}}`): "mean_packets or mean_ms",
		with(`{"burst": {"loss": 0.1, "mean_ms": 1, "mean_packets": 1}}`):               "give one of them",
		with(`{"burst": {"loss": 0.1, "mean_packets": 9, "common": 0.5}}`):              "give mean_ms",
		with(`{"burst": {"loss": 0.9, "mean_packets": 2}}`):                             "lose less than 0.667",
		with(`{"burst": {"loss": 0.1, "mean_packets": 0.5}}`):                           "at least 1",
		with(`{"burst": {"loss": 1}}`):                                                  "burst.loss is 1",
		with(`{"delay_ms": -1}`):                                                        "delay_ms is -1",
		with(`{"jitter_ms": 1e300}`):                                                    "jitter_ms",
		with(`{"reorder": {"rate": 2}}`):                                                "reorder.rate is 2",
		with(`{"duplicate": {"by_ms": -2}}`):                                            "duplicate.by_ms is -2",
		with(`{"flip": {"from": -1}}`):                                                  "flip.from is -1",
		with(`{"rate_bps": 5}`):                                                         "rate_bps is 5",
		with(`{"mtu": 20}`):                                                             "mtu is 20",
		with(`{"blackouts": [{"start_ms": -1, "duration_ms": 1}]}`):                     "blackouts[0].start_ms is -1",
		steps(`{"at_ms": 5, "relays": ["b"]}`):                                          `steps[0].relays names "b"`,
		steps(`{"at_ms": 5}, {"at_ms": 4}`):                                             "steps[1].at_ms is 4",
		steps(`{"at_ms": 5, "up": {"loss": 7}}`):                                        "steps[0].up: loss is 7",
		`{"relays": [{"name": "", "listen": "x"}]}`:                                     "relays[0].name",
		`{"relays": [{"name": "a", "listen": "x"}]}`:                                    "relays[0].listen",
		`{"relays": [{"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1"}]}`: "relays[0].upstream",
	} {
		if _, err := ParseScenario([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v, want it to say %q", text, err, want)
		}
	}
}

func FuzzParseScenario(f *testing.F) {
	f.Add([]byte(example))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseScenario(text)
		if err != nil {
			return
		}
		configs, err := s.Configs()
		if err != nil {
			t.Fatal(err)
		}
		// What is accepted is valid, and comes back from its own JSON.
		for _, c := range configs {
			for _, i := range []Impairment{c.Up, c.Down} {
				ch, err := NewChannel(ChannelConfig{Impairment: i})
				if err != nil {
					t.Fatal(err)
				}
				for n := range uint64(20) {
					if f := ch.Decide(n, time.Duration(n)*time.Millisecond, 100); f.Drop == Pass && f.At < time.Duration(n)*time.Millisecond {
						t.Fatalf("%+v: packet %d leaves before it enters", i, n)
					}
				}
				text, err := json.Marshal(i)
				if err != nil {
					t.Fatal(err)
				}
				again, err := Impairment{}.Patch(text)
				if err != nil || len(again.Blackouts) != len(i.Blackouts) || again.Burst != i.Burst || again.Loss != i.Loss {
					t.Fatalf("%s becomes %+v, %v", text, again, err)
				}
			}
		}
	})
}

func FuzzParseStep(f *testing.F) {
	f.Add([]byte(`{"relays": ["a"], "reset": true, "up": {"loss": 0.1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := ParseStep(text); err == nil {
			_, _ = s.apply([2]Impairment{})
		}
	})
}
