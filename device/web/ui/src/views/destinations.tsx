// Where the stream goes: one pasted line is a destination. A path that is
// edited leaves the others as they run.
import { useEffect, useState } from "preact/hooks";
import { call, Problem } from "../api";
import { at } from "../doc";
import { choices, ConfigForm, may, More, NumberField, SchemaFields, SecretField, SelectField, TextField, useForm, type Draft } from "../form";
import { mbps, ms, loss } from "../format";
import { maybe, t, useLanguage } from "../i18n";
import { live } from "../live";
import { useStore } from "../store";
import type { Destination, Doc, Issue, Preflight } from "../types";
import { Badge, Button, Dialog, Note, Panel, ProblemNote, Shape } from "../ui";
import { Calculator, Latency, PlanResult } from "./calculator";

export default function DestinationsView() {
  useLanguage();
  return <ConfigForm title={<h1>{t("nav.destinations")}</h1>}>{(d) => <Body d={d} />}</ConfigForm>;
}

const list = (d: Draft): Doc[] => (at(d.doc, "paths") ?? []) as Doc[];

function Body({ d }: { d: Draft }) {
  const box = useStore(live).overview?.box;
  const [open, setOpen] = useState<number | null>(null);
  const paths = list(d);
  const worst = Math.max(0, ...(box?.paths ?? []).map((p) => p.rtt_ms));
  return (
    <>
      <Paste d={d} added={setOpen} />
      <Panel title={t("paths")} side={<span class="count">{paths.length}</span>}>
        {!paths.length && <p class="help">{t("paths.none")}</p>}
        <ul class="path-cards">
          {paths.map((p, i) => (
            <PathCard d={d} i={i} p={p} key={i} open={open === i} toggle={() => setOpen(open === i ? null : i)} removed={() => setOpen(null)} />
          ))}
        </ul>
      </Panel>
      <div class="columns">
        <div class="column">
          <Latency d={d} />
          {d.plan && (
            <Panel title={t("plan.title")}>
              <PlanResult p={d.plan} />
            </Panel>
          )}
        </div>
        <Calculator doc={d.doc} paths={paths.filter((p) => (p["profile"] ?? "rtp-fec") === "rtp-fec").length} worstRTT={worst} />
      </div>
    </>
  );
}

function freeName(paths: Doc[], leg: number): string {
  for (const c of "abcdefgh") if (!paths.some((p) => p["name"] === `${leg}${c}`)) return `${leg}${c}`;
  return `${leg}-${paths.length + 1}`;
}

function Paste({ d, added }: { d: Draft; added: (i: number) => void }) {
  const form = useForm();
  const [line, setLine] = useState("");
  const [errors, setErrors] = useState<Issue[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [got, setGot] = useState<Destination | null>(null);
  const add = async () => {
    if (!line.trim() || busy) return;
    setBusy(true);
    setErrors([]);
    setError(null);
    setGot(null);
    try {
      const a = (await call<Destination>("POST", "/destinations/parse", { line: line.trim() })).data;
      if (!a.ok || !a.path) {
        setErrors(a.errors ?? []);
        return;
      }
      const paths = list(d);
      const legs = paths.map((p) => Number(p["leg"] ?? 1));
      // Two paths make a leg: the next one belongs where one is missing.
      let leg = 1;
      while (legs.filter((x) => x === leg).length >= 2 && leg < 8) leg++;
      const p: Doc = { name: freeName(paths, leg), leg, url: line.trim() };
      if (a.path.profile) p["profile"] = a.path.profile;
      d.set("paths", [...paths, p]);
      setGot(a);
      setLine("");
      added(paths.length);
    } catch (e) {
      if (e instanceof Problem && e.errors.length) setErrors(e.errors);
      else setError(e);
    } finally {
      setBusy(false);
    }
  };
  if (form.disabled) return null;
  return (
    <Panel title={t("paste.title")}>
      <p class="help" id="paste-help">
        {t("paste.help")}
      </p>
      <div class="field long">
        <label for="paste">{t("paste.line")}</label>
        <div class="control">
          <input id="paste" class="mono" autocomplete="off" spellcheck={false} value={line} placeholder="srt://gw1a.example.net:9000?streamid=…&passphrase=…&key=…"
            aria-describedby={"paste-help" + (errors.length ? " paste-error" : "")} aria-invalid={errors.length > 0 || undefined}
            onInput={(e) => setLine(e.currentTarget.value)}
            onKeyDown={(e) => {
              if (e.key !== "Enter") return;
              e.preventDefault();
              void add();
            }} />
          <Button kind="primary" busy={busy} disabled={!line.trim()} onClick={() => void add()}>
            {t("paste.add")}
          </Button>
        </div>
        {errors.length > 0 && (
          <div id="paste-error" role="alert" lang="en">
            {errors.map((e) => (
              <p class="error" key={e.path + e.problem}>
                {e.value} {e.problem}
                {e.remedy && "; " + e.remedy}
              </p>
            ))}
          </div>
        )}
      </div>
      <ProblemNote error={error} />
      {got?.path && (
        <Note level="ok" title={t("paste.read", { host: got.path.host + ":" + got.path.port })}>
          <p>
            {t("paste.carries", { list: [...(got.secrets ?? []), ...(got.path.stream_id ? ["stream id"] : [])].join(", ") || t("paste.nothing") })} {t("paste.save")}
          </p>
        </Note>
      )}
    </Panel>
  );
}

function PathCard({ d, i, p, open, toggle, removed }: { d: Draft; i: number; p: Doc; open: boolean; toggle: () => void; removed: () => void }) {
  const form = useForm();
  const now = useStore(live).overview?.box?.paths?.find((x) => x.name === p["name"]);
  const [asked, setAsked] = useState(false);
  const [flight, setFlight] = useState<{ busy: boolean; result: Preflight | null; error: unknown } | null>(null);
  const name = String(p["name"] ?? i + 1);
  const base = `paths[${i}]`;
  const bad = form.errors.some((e) => e.path.startsWith(base));
  // Opened by an error, it stays open when that is mended: somebody writes in it.
  const [held, hold] = useState(false);
  useEffect(() => {
    if (bad) hold(true);
  }, [bad]);
  const shown = open || bad || held;
  const links = (useStore(live).overview?.network.links ?? []).map((l) => l.name);
  const profile = String(p["profile"] ?? "rtp-fec");
  const preflight = async () => {
    setFlight({ busy: true, result: null, error: null });
    try {
      const a = await call<Preflight>("POST", "/preflight", { path: name }, { timeout: 60_000 });
      setFlight({ busy: false, result: a.data, error: null });
    } catch (error) {
      setFlight({ busy: false, result: null, error });
    }
  };
  const up = now?.state === "up";
  return (
    <li class={"path-card" + (shown ? " open" : "")}>
      <div class="path-card-head">
        <h3>
          <button type="button" class="disclosure" aria-expanded={shown} onClick={() => (held && !open ? hold(false) : toggle())}>
            <svg viewBox="0 0 12 12" aria-hidden="true">
              <path d="M4 2l4 4-4 4" />
            </svg>
            {name}
          </button>
        </h3>
        {now ? <Badge level={up ? "ok" : now.state === "stopped" ? "off" : "major"}>{up ? t("path.up") : maybe("path." + now.state, now.state)}</Badge> : <Badge level="busy">{t("path.unsaved")}</Badge>}
        <span class="tag">{t("leg", { n: Number(p["leg"] ?? 1) })}</span>
        <span class="mono path-url">{String(p["url"] ?? "").split("?")[0]}</span>
        {up && now && (
          <span class="path-now">
            <b class="number">{mbps(now.bitrate_bps)}</b> Mbit/s · <b class="number">{ms(now.rtt_ms)}</b> ms · <b class="number">{loss(now.send_loss_percent)}</b> %
          </span>
        )}
        <span class="path-acts">
          {may("operator") && (
            <Button disabled={!now} busy={flight?.busy} onClick={() => void preflight()} label={t("preflight.of", { name })}>
              {flight?.busy ? t("preflight.busy") : t("preflight")}
            </Button>
          )}
        </span>
      </div>
      {flight && !flight.busy && (
        <div class="preflight" role="status">
          <ProblemNote error={flight.error} />
          {flight.result && <PreflightResult r={flight.result} />}
        </div>
      )}
      {shown && (
        <div class="path-edit">
          <div class="fields">
            <TextField path={base + ".name"} label={t("path.name")} help={t("path.name.help")} width="short" required />
            <NumberField path={base + ".leg"} label={t("path.leg")} help={t("path.leg.help")} />
            <TextField path={base + ".url"} label={t("path.url")} help={t("path.url.help")} mono width="long" required />
            <SelectField path={base + ".profile"} label={t("path.profile")} options={choices("profile", ["rtp-fec", "ts", "rtp"])} help={maybe(`profile.${profile}.help`, "")} />
            <TextField path={base + ".interface"} label={t("interface")} help={t("path.interface.help")} list={links} />
            {profile !== "rtp" && (
              <>
                <SecretField path={base + ".passphrase"} label={t("passphrase")} help={t("passphrase.help")} />
                <TextField path={base + ".stream_id"} label={t("stream-id")} help={t("stream-id.help")} mono />
              </>
            )}
            <NumberField path={base + ".max_bitrate_kbps"} label={t("path.max")} help={t("path.max.help")} unit="kbit/s" fallback={t("path.max.none")} />
          </div>
          <More title={t("more.expert")} paths={["merge_group", "mode", "key_length", "latency_ms", "source", "stagger_ms", "ts_packets_per_message", "ttl", "srt", "st2022_1"].map((k) => base + "." + k)}>
            <SchemaFields path={base} skip={["name", "leg", "url", "profile", "interface", "passphrase", "stream_id", "max_bitrate_kbps"]} />
            {profile !== "rtp" && (
              <>
                <h4>SRT</h4>
                <SchemaFields path={base + ".srt"} />
              </>
            )}
          </More>
          {!form.disabled && (
            <div class="actions start">
              <Button kind="quiet" onClick={() => setAsked(true)}>
                {t("path.remove")}
              </Button>
            </div>
          )}
        </div>
      )}
      {asked && (
        <Dialog title={t("path.remove.title", { name })} onClose={() => setAsked(false)}>
          <p>{t("path.remove.text")}</p>
          <div class="actions">
            <Button onClick={() => setAsked(false)}>{t("cancel")}</Button>
            <Button kind="danger"
              onClick={() => {
                setAsked(false);
                removed();
                d.set("paths", list(d).filter((_, k) => k !== i));
              }}>
              {t("path.remove")}
            </Button>
          </div>
        </Dialog>
      )}
    </li>
  );
}

function PreflightResult({ r }: { r: Preflight }) {
  return (
    <>
      <p class="preflight-title">
        <Badge level={r.ok ? "ok" : "major"}>{r.ok ? t("preflight.ok") : t("preflight.failed")}</Badge>
      </p>
      <ol class="steps">
        {(r.steps ?? []).map((s) => (
          <li key={s.name}>
            <Shape level={s.ok ? "ok" : "major"} />
            <div lang="en">
              <p>
                <strong>{s.name}</strong> <span class="visually-hidden">{s.ok ? t("level.ok") : t("failed")}</span> {s.text}
              </p>
              {s.remedy && <p class="condition-remedy">{s.remedy}</p>}
            </div>
          </li>
        ))}
      </ol>
      {r.largest_bytes ? <p class="quiet-text">{t("preflight.largest", { n: r.largest_bytes, k: r.ts_packets_per_message ?? 7 })}</p> : null}
    </>
  );
}

