// The network, with a way back: a change is in force at once and reverts by
// itself unless it is confirmed over the box's new address.
import { useEffect, useState } from "preact/hooks";
import { call, Problem } from "../api";
import { at, merge, put, same } from "../doc";
import { CheckField, ErrorSummary, FormOver, ListField, NumberListField, may, More, NeedsRole, NumberField, SelectField, TextField, useForm } from "../form";
import { mbps, num } from "../format";
import { t, useLanguage } from "../i18n";
import { live } from "../live";
import { useStore } from "../store";
import type { Doc, Issue, Json, NetworkConfig, NetworkState, Pending, Trial } from "../types";
import { Badge, Button, Loading, Note, Panel, ProblemNote, say, Scroll } from "../ui";

// The token of a change that this browser made: it must survive the step to
// the new address, where storage is another one, so it travels in the link.
const fromLink = () => /token=([^&]+)/.exec(location.hash)?.[1];

export default function NetworkView() {
  useLanguage();
  const state = useStore(live).overview?.network;
  const [base, setBase] = useState<{ settings: Doc; etag: string } | null>(null);
  const [doc, setDoc] = useState<Doc | null>(null);
  const [failed, setFailed] = useState<unknown>(null);
  const [errors, setErrors] = useState<Issue[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [trial, setTrial] = useState<Trial | null>(null);
  const load = () =>
    call<NetworkConfig>("GET", "/network").then((a) => {
      setBase({ settings: a.data.settings, etag: a.etag });
      setDoc(a.data.settings);
      setFailed(null);
    }, setFailed);
  // Takes what holds now as the base, and leaves what is typed here.
  const follow = () =>
    call<NetworkConfig>("GET", "/network").then((a) => {
      setBase({ settings: a.data.settings, etag: a.etag });
      setDoc((d) => (base && d ? merge(base.settings, d, a.data.settings).merged : a.data.settings));
    }, () => undefined);
  useEffect(() => void load(), []);
  const dirty = !!base && !!doc && !same(base.settings, doc);
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy || !base || !doc) return;
    setBusy(true);
    setErrors([]);
    setError(null);
    try {
      const a = await call<Trial>("PUT", "/network", doc, { ifMatch: base.etag });
      if (a.data.token) setTrial(a.data); // what was typed stays, should it be taken back
      else {
        say(t("network.same"), "info");
        void load();
      }
    } catch (x) {
      if (x instanceof Problem && x.errors.some((i) => i.path)) setErrors(x.errors);
      else if (x instanceof Problem && x.status === 412) {
        setError(x);
        await follow();
      } else setError(x);
    } finally {
      setBusy(false);
    }
  };
  const pending: Pending | null = state?.pending ?? null;
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.network")}</h1>
        <NeedsRole role="admin" />
      </div>
      <PendingPanel pending={pending} trial={trial} done={(kept) => {
        if (kept) void load();
        else void follow();
        setTrial(null);
      }} />
      {state && <Links s={state} />}
      {!base || !doc ? (
        <Loading error={failed} />
      ) : (
        <FormOver doc={doc} errors={errors} disabled={!may("admin") || !!pending} set={(p, v) => { setErrors([]); setDoc((d) => put(d ?? {}, p, v) as Doc); }}>
          <form class="config" onSubmit={submit} noValidate>
            {errors.length > 0 && <ErrorSummary />}
            <ProblemNote error={error} />
            <Panel title={t("network.names")}>
              <div class="fields">
                <TextField path="hostname" label={t("network.hostname")} help={t("network.hostname.help")} mono />
                <ListField path="ntp" label={t("network.ntp")} help={t("network.ntp.help")} />
                <TextField path="timezone" label={t("network.timezone")} help={t("network.timezone.help")} placeholder="UTC" />
                <SelectField path="others" label={t("network.others")} help={t("network.others.help")} options={[["auto", t("network.others.auto")], ["off", t("ipv6.off")]]} />
              </div>
            </Panel>
            {((at(doc, "interfaces") ?? []) as Doc[]).map((x, i) => (
              <Interface key={i} i={i} x={x} remove={() => setDoc((d) => put(d ?? {}, `interfaces[${i}]`, undefined) as Doc)} />
            ))}
            {may("admin") && !pending && (
              <Button onClick={() => setDoc((d) => put(d ?? {}, "interfaces", [...((at(d ?? {}, "interfaces") ?? []) as Json[]), { name: "", dhcp4: true, ipv6: "auto" }]) as Doc)}>
                {t("network.add")}
              </Button>
            )}
            {may("admin") && (
              <div class={"save-bar" + (dirty ? " dirty" : "")}>
                <p>{dirty ? t("network.dirty") : t("form.clean")}</p>
                <div class="actions">
                  <Button disabled={!dirty} onClick={() => setDoc(base.settings)}>
                    {t("form.discard")}
                  </Button>
                  <Button type="submit" kind="primary" busy={busy} disabled={!dirty || !!pending}>
                    {t("network.apply")}
                  </Button>
                </div>
              </div>
            )}
          </form>
        </FormOver>
      )}
    </>
  );
}

/** How long is left, where to go, keep or revert. */
function PendingPanel({ pending, trial, done }: { pending: Pending | null; trial: Trial | null; done: (kept: boolean) => void }) {
  const stale = useStore(live).stale;
  const token = trial?.token ?? fromLink();
  const [at, setAt] = useState({ left: pending?.remaining_s ?? 0, seen: performance.now() });
  const [, tick] = useState(0);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState("");
  const [was, setWas] = useState(false);
  useEffect(() => {
    if (pending) {
      setAt({ left: pending.remaining_s, seen: performance.now() });
      setWas(true);
    } else if (was && !stale) {
      setWas(false);
      done(false);
    }
  }, [pending?.remaining_s, !pending]);
  useEffect(() => {
    if (trial) setAt({ left: trial.remaining_s, seen: performance.now() });
  }, [trial]);
  useEffect(() => {
    if (!pending && !trial) return;
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, [!pending, !trial]);
  if (!pending && !trial) return null;
  // By this browser's own count: the box's clock may be another one.
  const left = Math.max(0, Math.round(at.left - (performance.now() - at.seen) / 1000));
  const addresses = (pending?.addresses ?? trial?.addresses ?? []).filter(Boolean);
  const elsewhere = addresses.some((a) => !a.includes(location.host));
  const act = async (what: "confirm" | "revert") => {
    setBusy(what);
    setError(null);
    try {
      await call("POST", "/network/" + what, what === "confirm" ? { token } : undefined);
      say(t(what === "confirm" ? "network.confirmed" : "network.reverted"), what === "confirm" ? "ok" : "info");
      if (fromLink()) history.replaceState(null, "", "#/network");
      done(what === "confirm");
    } catch (e) {
      setError(e);
    } finally {
      setBusy("");
    }
  };
  const link = (a: string) => (a.includes("://") ? a : "https://" + (a.includes(":") && !a.startsWith("[") ? `[${a}]` : a)).replace(/\/$/, "") + "/#/network" + (token ? "?token=" + token : "");
  return (
    <section class="panel trial" aria-labelledby="trial-title">
      <div class="trial-clock" role="timer" aria-live="off" aria-label={t("network.pending.left", { n: left })}>
        <span class="number">{left}</span>
        <span class="unit">s</span>
      </div>
      <div>
        <h2 id="trial-title">{t("network.pending")}</h2>
        <p>{t("network.pending.text")}</p>
        {elsewhere && (
          <>
            <p>{t("network.pending.where")}</p>
            <ul class="plain addresses">
              {addresses.map((a) => (
                <li key={a}>
                  <a href={link(a)}>{a.includes("://") ? a : "https://" + a}</a>
                </li>
              ))}
            </ul>
          </>
        )}
        <ProblemNote error={error} />
        {may("admin") && (
          <div class="actions start">
            <Button kind="primary" busy={busy === "confirm"} disabled={!token} onClick={() => void act("confirm")}>
              {t("network.confirm")}
            </Button>
            <Button busy={busy === "revert"} onClick={() => void act("revert")}>
              {t("network.revert")}
            </Button>
          </div>
        )}
        {!token && may("admin") && <p class="help">{t("network.no-token")}</p>}
      </div>
    </section>
  );
}

function Links({ s }: { s: NetworkState }) {
  return (
    <Panel title={t("network.now")} side={<Badge level={s.clock_synchronised ? "ok" : "warning"}>{s.clock_synchronised ? t("clock.synced") : t("clock.free")}</Badge>}>
      {s.error && (
        <Note level="warning" title={t("network.unknown")}>
          <p lang="en">{s.error}</p>
        </Note>
      )}
      <Scroll label={t("network.now")}>
        <table class="table">
          <thead>
            <tr>
              <th scope="col">{t("interface")}</th>
              <th scope="col">{t("network.link")}</th>
              <th scope="col">{t("network.addresses")}</th>
              <th scope="col">{t("network.gateway")}</th>
              <th scope="col">DNS</th>
              <th scope="col" class="r">{t("network.rx")}</th>
              <th scope="col" class="r">{t("network.tx")}</th>
              <th scope="col" class="r">{t("errors")}</th>
            </tr>
          </thead>
          <tbody>
            {(s.links ?? []).map((l) => (
              <tr key={l.name}>
                <th scope="row">
                  {l.name}
                  <span class="path-where mono">{l.mac}</span>
                </th>
                <td>
                  <Badge level={l.carrier ? "ok" : "off"}>{l.carrier ? (l.speed_mbps ? num(l.speed_mbps) + " Mbit/s" : t("network.up")) : t("network.down")}</Badge>
                </td>
                <td class="mono">{(l.addresses ?? []).map((a) => <span class="line" key={a}>{a}</span>)}</td>
                <td class="mono">{(l.gateways ?? []).map((a) => <span class="line" key={a}>{a}</span>)}</td>
                <td class="mono">{(l.dns ?? []).map((a) => <span class="line" key={a}>{a}</span>)}</td>
                <td class="r number">{mbps(l.rx_bps)}</td>
                <td class="r number">{mbps(l.tx_bps)}</td>
                <td class="r number">{num(l.rx_errors_total + l.tx_errors_total)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

function Interface({ i, x, remove }: { i: number; x: Doc; remove: () => void }) {
  const base = `interfaces[${i}]`;
  const v6 = String(x["ipv6"] ?? "auto");
  const dhcp = x["dhcp4"] === true;
  return (
    <Panel title={t("network.interface", { name: String(x["name"] || i + 1) })}>
      <div class="fields">
        <TextField path={base + ".name"} label={t("interface")} mono width="short" required />
        <SelectField path={base + ".ipv6"} label="IPv6" options={[["auto", t("ipv6.auto")], ["static", t("ipv6.static")], ["off", t("ipv6.off")]]} />
        <CheckField path={base + ".dhcp4"} label={t("network.dhcp")} help={t("network.dhcp.help")} />
      </div>
      <div class="fields">
        <ListField path={base + ".addresses"} label={t("network.addresses")} help={t("network.addresses.help")} placeholder="192.0.2.7/24" />
        {!dhcp && <TextField path={base + ".gateway"} label={t("network.gateway4")} mono placeholder="192.0.2.1" />}
        {v6 === "static" && <TextField path={base + ".gateway6"} label={t("network.gateway6")} mono placeholder="2001:db8::1" />}
        <ListField path={base + ".dns"} label={t("network.dns")} help={dhcp ? t("network.dns.help") : undefined} />
      </div>
      <More title={t("network.more")} paths={["mtu", "metric", "vlans", "mdns", "routes", "gateway", "gateway6"].map((k) => base + "." + k)}>
        <div class="fields">
          <NumberField path={base + ".mtu"} label="MTU" fallback="1500" />
          <NumberField path={base + ".metric"} label={t("route.metric")} help={t("network.metric.help")} />
          <NumberListField path={base + ".vlans"} label={t("network.vlans")} help={t("network.vlans.help")} />
          <CheckField path={base + ".mdns"} label={t("network.mdns")} fallback />
          {dhcp && <TextField path={base + ".gateway"} label={t("network.gateway4")} mono />}
          {v6 !== "static" && <TextField path={base + ".gateway6"} label={t("network.gateway6")} mono />}
        </div>
        <Routes base={base} routes={(x["routes"] ?? []) as Doc[]} />
      </More>
      {may("admin") && (
        <div class="actions start">
          <Button kind="quiet" onClick={remove}>
            {t("network.remove")}
          </Button>
        </div>
      )}
    </Panel>
  );
}

function Routes({ base, routes }: { base: string; routes: Doc[] }) {
  return (
    <fieldset class="group">
      <legend>{t("network.routes")}</legend>
      {routes.map((_, k) => (
        <div class="fields row" key={k}>
          <TextField path={`${base}.routes[${k}].to`} label={t("route.to")} mono placeholder="198.51.100.0/24" />
          <TextField path={`${base}.routes[${k}].via`} label={t("route.via")} mono placeholder="192.0.2.1" />
          <NumberField path={`${base}.routes[${k}].metric`} label={t("route.metric")} />
          <RemoveAt path={`${base}.routes[${k}]`} n={k + 1} />
        </div>
      ))}
      <AddRoute base={base} n={routes.length} />
    </fieldset>
  );
}


function RemoveAt({ path, n }: { path: string; n: number }) {
  const f = useForm();
  return (
    <div class="field">
      <Button kind="quiet" disabled={f.disabled} label={t("route.remove", { n })} onClick={() => f.set(path, undefined)}>
        {t("remove")}
      </Button>
    </div>
  );
}

function AddRoute({ base, n }: { base: string; n: number }) {
  const f = useForm();
  return (
    <Button disabled={f.disabled} onClick={() => f.set(`${base}.routes[${n}]`, { to: "", via: "" })}>
      {t("route.add")}
    </Button>
  );
}

