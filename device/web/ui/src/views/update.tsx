// Updates: what runs, what is newer, what it waits for, and what was.
import { useEffect, useRef, useState } from "preact/hooks";
import { call, get, sendFile } from "../api";
import { ListField, may, NeedsRole, NumberField, SelectField, TextField } from "../form";
import { bytes, moment, num } from "../format";
import { maybe, t, useLanguage } from "../i18n";
import { live } from "../live";
import { useStore } from "../store";
import type { Update, UpdateInfo } from "../types";
import { Badge, Button, Confirm, Loading, Note, Panel, ProblemNote, say, Scroll, useFetch, Value, type Level } from "../ui";
import { SettingsForm } from "./settings";

const slotLevels: Record<string, Level> = { running: "ok", good: "ok", bad: "major", unknown: "info" };
const eventLevels: Record<string, Level> = { confirmed: "ok", failed: "minor", "fell-back": "minor", inconclusive: "warning", refused: "warning", "install-failed": "minor", "held-against": "minor", "not-restarted": "minor", "slot-changed": "minor", damaged: "minor", override: "warning" };

export default function UpdateView() {
  useLanguage();
  const o = useStore(live).overview;
  const full = useFetch(() => get<UpdateInfo>("/update"));
  const d: Update | null = o?.update ?? full.data;
  // The history is asked for when something has happened.
  const sign = JSON.stringify([d?.phase, d?.offer?.version, d?.running_version, d?.last_check, d?.defer_until]);
  useEffect(() => full.reload(), [sign]);
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.update")}</h1>
        <NeedsRole role={may("operator") ? "admin" : "operator"} />
      </div>
      {!d && <Loading error={full.error} />}
      {d && (
        <>
          <div class="columns even">
            <div class="column">
              <Panel title={t("update.running")} side={<Phase u={d} />}>
                <p class="big small mono" id="update-running">{d.running_version || "–"}</p>
                {!d.available && (
                  <Note level="info" title={t("update.none")}>
                    <p lang="en">{d.reason}</p>
                  </Note>
                )}
                <Slots u={d} />
              </Panel>
            </div>
            <div class="column">
              <Offer u={d} />
            </div>
          </div>
          {d.available && (
            <>
              <SettingsForm title={t("update.settings")}>
                <div class="fields">
                  <TextField path="update.repository" label={t("update.repository")} help={t("update.repository.help")} mono width="long" placeholder="https://updates.example.net/quartet" />
                  <SelectField path="update.mode" label={t("update.mode")} options={(["automatic", "download", "manual"] as const).map((m): [string, string] => [m, t(`update.mode.${m}`)])} />
                  <ListField path="update.windows" label={t("update.windows")} help={t("update.windows.help")} placeholder="sun 02:00-05:00" lines rows />
                  <TextField path="update.zone" label={t("update.zone")} mono placeholder="Europe/Berlin" />
                  <NumberField path="update.need_min" label={t("update.need")} unit="min" fallback="15" />
                  <NumberField path="update.every_min" label={t("update.every")} unit="min" fallback="360" />
                  <NumberField path="update.rate_streaming_kbps" label={t("update.rate.streaming")} unit="kbit/s" fallback="2000" />
                  <NumberField path="update.rate_idle_kbps" label={t("update.rate.idle")} unit="kbit/s" fallback="20000" />
                </div>
                <fieldset>
                  <legend>{t("update.sibling")}</legend>
                  <p class="help">{t("update.sibling.help")}</p>
                  <div class="fields">
                    <SelectField path="update.sibling.role" label={t("update.sibling.role")} options={[["none", t("update.sibling.none")], ["A", "A"], ["B", "B"]]} />
                    <TextField path="update.sibling.serial" label={t("update.sibling.serial")} mono />
                    <TextField path="update.sibling.address" label={t("update.sibling.address")} mono placeholder="10.0.0.7" />
                    <TextField path="update.sibling.pin" label={t("update.sibling.pin")} mono width="long" />
                  </div>
                  <p class="help">
                    {t("update.pin")} <code id="update-pin">{full.data?.pin}</code>
                  </p>
                </fieldset>
              </SettingsForm>
              <History list={full.data?.history ?? null} />
            </>
          )}
        </>
      )}
    </>
  );
}

function Phase({ u }: { u: Update }) {
  if (!u.available) return null;
  const level: Level = u.phase === "idle" ? "ok" : u.phase === "going-back" ? "warning" : "busy";
  return <Badge level={level}>{t(`update.phase.${u.phase}`)}</Badge>;
}

function Slots({ u }: { u: Update }) {
  const list = u.slots ?? [];
  if (!list.length) return null;
  return (
    <>
      <h3>{t("update.slots")}</h3>
      <p class="help">{t("update.slots.help")}</p>
      <ul class="rows" id="slots">
        {list.map((s) => (
          <li key={s.name}>
            <strong>{s.name}</strong>
            <span class="mono">{s.version ?? "–"}</span>
            <Badge level={slotLevels[s.state] ?? "info"}>{maybe("slot." + s.state, s.state)}</Badge>
            {s.next && <span class="quiet-text">{t("update.next")}</span>}
          </li>
        ))}
      </ul>
    </>
  );
}

function Offer({ u }: { u: Update }) {
  const [busy, setBusy] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [asking, setAsking] = useState<"" | "now" | "clock">("");
  const [days, setDays] = useState("1");
  const run = async (what: string, f: () => Promise<unknown>, done: string) => {
    if (busy) return;
    setBusy(what);
    setError(null);
    try {
      await f();
      say(done);
    } catch (e) {
      setError(e);
    } finally {
      setBusy("");
    }
  };
  if (!u.available) return null;
  const o = u.offer;
  const [size, unit] = bytes(o?.bytes);
  const settled = !u.trial && u.phase !== "installing";
  const until = (n: number) => new Date(Date.now() + n * 86_400_000).toISOString().replace(/\.\d+Z$/, "Z");
  return (
    <>
      <Panel title={t("update.offer")}>
        {o ? (
          <>
            <p class="big small mono" id="update-offer">{o.version}</p>
            <dl class="values">
              <Value label={t("update.size")} value={size} unit={unit} />
              <Value label={t("update.from")} value={o.upload ? t("update.uploaded") : (o.ring ?? "–")} note={o.downgrade ? t("update.downgrade") : ""} />
              <Value label={t("update.found")} value={moment(o.found)} unit="UTC" />
            </dl>
            {o.notes && <p lang="en">{o.notes}</p>}
          </>
        ) : (
          <p class="quiet-text" id="update-offer">{u.repository ? t("update.newest") : t("update.unasked")}</p>
        )}
        {u.progress && (
          <p>
            <label>
              {t(`update.progress.${u.progress.what}`)} <progress max={100} value={u.progress.percent} /> <span class="number">{num(u.progress.percent, 0)} %</span>
            </label>
          </p>
        )}
        {u.trial && (
          <Note level={u.phase === "going-back" ? "warning" : "info"} title={t("update.trial", { from: u.trial.from, to: u.trial.to })}>
            {u.trial.text && <p lang="en">{u.trial.text}</p>}
          </Note>
        )}
        {u.waits && (
          <Note level={["sibling", "clock", "expired"].includes(u.waits.why) ? "warning" : "info"} title={maybe("update.waits." + u.waits.why, u.waits.why)}>
            <p lang="en" id="update-waits">{u.waits.text}</p>
          </Note>
        )}
        {!u.clock_good && (
          <Note level="warning" title={t("update.clock")}>
            <p>{t("update.clock.help")}</p>
            {may("admin") && <Button onClick={() => setAsking("clock")}>{t("update.clock.set")}</Button>}
          </Note>
        )}
        {u.check_error && (
          <Note level="warning" title={t("update.check.failed")}>
            <p lang="en">{u.check_error}</p>
          </Note>
        )}
        {u.defer_until && <p class="help">{t("update.deferred", { time: moment(u.defer_until), who: u.deferred_by ?? "" })}</p>}
        {(u.refused ?? []).map((r) => (
          <Note level="info" title={t("update.refused", { version: r.version })} key={r.version + r.code}>
            <p lang="en">{r.text}</p>
          </Note>
        ))}
        <ProblemNote error={error} />
        <div class="actions start">
          <Button id="update-check" busy={busy === "check"} disabled={!may("operator") || !u.repository} onClick={() => void run("check", () => call("POST", "/update/check", undefined, { timeout: 60_000 }), t("update.checked"))}>
            {t("update.check")}
          </Button>
          <Button id="update-now" kind="primary" disabled={!may("admin") || !o || !settled} onClick={() => setAsking("now")}>
            {t("update.now")}
          </Button>
          <Button id="update-cancel" busy={busy === "cancel"} disabled={!may("operator") || !o || !settled} onClick={() => void run("cancel", () => call("POST", "/update/cancel"), t("update.cancelled"))}>
            {t("update.cancel")}
          </Button>
        </div>
        <div class="actions start">
          <label for="update-days">{t("update.defer.for")}</label>
          <select id="update-days" value={days} disabled={!may("operator")} onChange={(e) => setDays(e.currentTarget.value)}>
            {["1", "7", "30"].map((n) => (
              <option value={n} key={n}>{t("update.days", { n: Number(n) })}</option>
            ))}
          </select>
          <Button id="update-defer" busy={busy === "defer"} disabled={!may("operator")} onClick={() => void run("defer", () => call("POST", "/update/defer", { until: until(Number(days) - 0.01) }), t("form.saved"))}>
            {t("update.defer")}
          </Button>
          {u.defer_until && (
            <Button disabled={!may("operator")} onClick={() => void run("defer", () => call("POST", "/update/defer", {}), t("form.saved"))}>
              {t("update.undefer")}
            </Button>
          )}
        </div>
        {u.last_check && <p class="help">{t("update.last", { time: moment(u.last_check) })}</p>}
      </Panel>
      <Upload />
      {asking === "now" && <Now u={u} onClose={() => setAsking("")} />}
      {asking === "clock" && (
        <Confirm title={t("update.clock.set")} action={t("update.clock.set")} onClose={() => setAsking("")}
          run={async () => {
            await call("POST", "/time", { time: until(0) });
            say(t("form.saved"));
          }}>
          <p>{t("update.clock.ask", { time: moment(Date.now()) })}</p>
        </Confirm>
      )}
    </>
  );
}

function Now({ u, onClose }: { u: Update; onClose: () => void }) {
  const [alone, setAlone] = useState(false);
  const [reason, setReason] = useState("");
  return (
    <Confirm title={t("update.now.title", { version: u.offer?.version ?? "" })} action={t("update.now")} danger={alone} onClose={onClose}
      run={async () => {
        await call("POST", "/update/now", alone ? { override_sibling: true, reason } : {});
        say(t("update.now.done"));
      }}>
      <p>{t("update.now.text")}</p>
      {u.sibling && (
        <>
          <div class="field check">
            <div class="check-row">
              <input id="update-alone" type="checkbox" checked={alone} onChange={(e) => setAlone(e.currentTarget.checked)} />
              <label for="update-alone">{t("update.alone")}</label>
            </div>
          </div>
          {alone && (
            <div class="field">
              <label for="update-reason">{t("update.reason")}</label>
              <input id="update-reason" value={reason} onInput={(e) => setReason(e.currentTarget.value)} />
            </div>
          )}
        </>
      )}
    </Confirm>
  );
}

/** An update in one file, for a site without a way to the repository. */
function Upload() {
  const input = useRef<HTMLInputElement>(null);
  const [file, setFile] = useState<File | null>(null);
  const [part, setPart] = useState<number | null>(null); // 0…1 while it is sent
  const [error, setError] = useState<unknown>(null);
  const send = async () => {
    if (!file || part !== null) return;
    setPart(0);
    setError(null);
    try {
      await sendFile("/update/upload", file, setPart);
      say(t("update.upload.done"));
      setFile(null);
      if (input.current) input.current.value = "";
    } catch (e) {
      setError(e);
    } finally {
      setPart(null);
    }
  };
  return (
    <Panel title={t("update.upload")}>
      <p class="help">{t("update.upload.help")}</p>
      <div class="field">
        <label for="update-file">{t("update.upload.file")}</label>
        <input id="update-file" ref={input} type="file" disabled={!may("admin")} onChange={(e) => setFile(e.currentTarget.files?.[0] ?? null)} />
      </div>
      {part !== null && (
        <p>
          <label>
            {t("update.upload.busy")} <progress max={1} value={part} />
          </label>
        </p>
      )}
      <ProblemNote error={error} />
      <div class="actions start">
        <Button id="update-upload" busy={part !== null} disabled={!may("admin") || !file} onClick={() => void send()}>
          {t("update.upload.action")}
        </Button>
      </div>
    </Panel>
  );
}

function History({ list }: { list: UpdateInfo["history"] }) {
  return (
    <Panel title={t("update.history")}>
      {!list && <Loading />}
      {list && !list.length && <p class="quiet-text">{t("update.history.none")}</p>}
      {list && list.length > 0 && (
        <Scroll label={t("update.history")}>
          <table class="table" id="update-history">
            <thead>
              <tr>
                <th scope="col">{t("time")} (UTC)</th>
                <th scope="col">{t("audit.what")}</th>
                <th scope="col">{t("update.versions")}</th>
                <th scope="col">{t("audit.who")}</th>
                <th scope="col">{t("audit.detail")}</th>
              </tr>
            </thead>
            <tbody>
              {list.map((e, i) => (
                <tr key={e.time + e.event + i}>
                  <td class="number nowrap">{moment(e.time)}</td>
                  <td>
                    <Badge level={eventLevels[e.event] ?? "info"}>{maybe("update.event." + e.event, e.event)}</Badge>
                  </td>
                  <td class="mono nowrap">{[e.from, e.to].filter(Boolean).join(" → ")}</td>
                  <td>{e.actor}</td>
                  <td lang="en">{e.text}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}
