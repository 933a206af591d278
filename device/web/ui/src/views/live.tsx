// What is on air: the picture, the sound, the chain from the input to the
// gateways, and what is wrong with what to do about it.
import { useEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { Problem, raw } from "../api";
import { clock, duration, loss, mbps, ms, num, since, whole } from "../format";
import { conditionWords, maybe, t, useLanguage, type Key } from "../i18n";
import { live, lostOfLate, traceLength, type Live } from "../live";
import { useStore } from "../store";
import type { BoxStatus, Condition, Input, Overview, PathStatus, Plan } from "../types";
import { Badge, Loading, Note, Panel, Shape, Spark, Value, type Level } from "../ui";

export default function LiveView() {
  useLanguage();
  const l = useStore(live);
  const o = l.overview;
  if (!o) return l.stale ? <h1 class="visually-hidden">{t("nav.live")}</h1> : <Loading />;
  return (
    <div class={"live" + (l.stale ? " stale" : "")}>
      <h1 class="visually-hidden">{t("nav.live")}</h1>
      <Headline o={o} l={l} />
      {o.box ? (
        <div class="live-grid">
          <div class="live-side">
            <Confidence box={o.box} stale={l.stale} />
            <Machine o={o} />
          </div>
          <div class="live-main">
            <Chain box={o.box} l={l} />
            <Conditions list={o.conditions ?? []} now={o.time} />
          </div>
        </div>
      ) : (
        <>
          <Note level="critical" title={t("box.silent")} alert>
            <p lang="en">{o.box_error}</p>
            <p>{t("box.silent.remedy")}</p>
          </Note>
          <div class="live-grid">
            <Machine o={o} />
            <Conditions list={o.conditions ?? []} now={o.time} />
          </div>
        </>
      )}
    </div>
  );
}

export const inputLevel = (i: Input): Level => (i.state === "ok" ? "ok" : i.state === "waiting" ? "busy" : "critical");

function pathLevel(p: PathStatus): Level {
  if (p.state !== "up") return p.state === "stopped" ? "off" : "major";
  if (!carries(p)) return "major";
  if (p.send_loss_percent >= 1 || (p.arrival?.loss_percent ?? 0) >= 1) return "minor";
  return "ok";
}

/** Whether a path does its part: connected alone is not enough where its
 * gateway says that nearly all of it comes too late. */
const carries = (p: PathStatus) => p.state === "up" && !(p.arrival && p.arrival.loss_percent > 50);

/** One sentence on how things are. */
function Headline({ o, l }: { o: Overview; l: Live }) {
  const active = (o.conditions ?? []).filter((c) => c.active && !c.masked);
  const top = active[0];
  const paths = o.box?.paths ?? [];
  const up = paths.filter((p) => p.state === "up").length;
  if (!o.box) return null;
  if (top) {
    const w = conditionWords(top);
    return (
      <section class={"headline " + top.severity} aria-label={t("headline")}>
        <Shape level={top.severity} />
        <div>
          <p class="headline-state">
            {t(("level." + top.severity) as Key)} <span class="headline-where">{resource(top.resource)}</span>
          </p>
          <p class="headline-text" lang={w.lang}>
            {w.text}
          </p>
          {w.remedy && (
            <p class="headline-remedy" lang={w.lang}>
              {w.remedy}
            </p>
          )}
        </div>
        {active.length > 1 && (
          <a class="headline-more" href="#/live" onClick={(e) => { e.preventDefault(); document.getElementById("conditions")?.scrollIntoView(); }}>
            {t("headline.more", { n: active.length - 1 })}
          </a>
        )}
      </section>
    );
  }
  const lost = [...l.traces.values()].map(lostOfLate).filter((x): x is number => x !== null);
  const sum = lost.reduce((a, b) => a + b, 0);
  return (
    <section class="headline ok" aria-label={t("headline")}>
      <Shape level="ok" />
      <div>
        <p class="headline-state">{t("headline.ok")}</p>
        <p class="headline-text">
          {t("headline.paths", { up, n: paths.length })} {lost.length === 0 ? t("headline.unreported") : sum === 0 ? t("headline.whole") : t("headline.lost", { n: sum })}
        </p>
      </div>
    </section>
  );
}

/** "path/1a" as a person says it. */
export function resource(r: string): string {
  const [kind, name] = r.split("/");
  return maybe("resource." + kind, kind ?? r) + (name ? " " + name : "");
}

function Confidence({ box, stale }: { box: BoxStatus; stale: boolean }) {
  const e = box.input.engine, c = box.input.confidence;
  const pairs = c?.watched ? (c.sound ?? []) : [];
  const channels = pairs.flatMap((p) => p.channels ?? []);
  return (
    <section class="panel confidence" aria-label={t("confidence")}>
      <Picture alt={t("picture.alt", { source: box.input.url || box.input.type })} live={!stale} input={box.input} />
      <div class="sound">
        {channels.length ? (
          <Meters peak={channels.map((x) => x.peak_db)} rms={channels.map((x) => x.rms_db)} />
        ) : (
          <Meters peak={e?.peak_db ?? []} rms={e?.rms_db ?? []} />
        )}
        {pairs.map((p, i) => (
          <p class="loudness" key={i}>
            {t("loudness", { n: i + 1 })} <b class="number">{lufs(p.short_term_lufs)}</b> LUFS <span class="quiet-text">{t("loudness.integrated")}</span>{" "}
            <b class="number">{lufs(p.integrated_lufs)}</b>
          </p>
        ))}
      </div>
    </section>
  );
}

const lufs = (x: number) => (x <= -100 ? "−∞" : num(x, 1));

// The picture is fetched, not linked: an answer that has not changed costs
// nothing, one that fails says why, and the policy needs no blob: addresses.
function Picture({ alt, live: on, input }: { alt: string; live: boolean; input: Input }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [there, setThere] = useState(false);
  const [why, setWhy] = useState("");
  const [at, setAt] = useState(0);
  const [age, setAge] = useState(0);
  const shown = useRef(0); // when a picture was drawn last
  const aged = () => (shown.current ? Math.round((performance.now() - shown.current) / 1000) : 0);
  useEffect(() => {
    if (!on) return;
    let stopped = false, etag = "";
    let timer: ReturnType<typeof setTimeout>;
    const stop = new AbortController();
    const next = async () => {
      let wait = 1000;
      try {
        const r = await raw("GET", "/thumbnail", undefined, { ifNoneMatch: etag, signal: stop.signal, timeout: 5000 });
        if (r.status !== 304) {
          const bitmap = await createImageBitmap(await r.blob());
          etag = r.headers.get("ETag") ?? "";
          const c = canvas.current;
          if (!c || stopped) return;
          c.width = bitmap.width;
          c.height = bitmap.height;
          c.getContext("2d")?.drawImage(bitmap, 0, 0);
          bitmap.close();
          shown.current = performance.now();
          setThere(true);
          setAt(shown.current);
        }
        setWhy("");
        setAge(aged());
      } catch (e) {
        if (stopped) return;
        wait = 5000;
        if (e instanceof Problem && e.status === 404) setThere(false);
        setAge(aged()); // what is shown is not fresh, whatever the reason
        setWhy(e instanceof Problem ? e.detail : "");
      }
      if (!stopped) timer = setTimeout(next, document.hidden ? 5000 : wait);
    };
    void next();
    return () => {
      stopped = true;
      stop.abort();
      clearTimeout(timer);
    };
  }, [on]);
  const old = there && at > 0 && age >= 5;
  return (
    <div class={"picture" + (there ? "" : " none") + (old ? " old" : "")}>
      <canvas ref={canvas} role="img" aria-label={there ? alt : t("picture.none")} width={320} height={180} />
      {!there && (
        <div class="picture-none">
          <p>{t("picture.none")}</p>
          <p class="quiet-text" lang={why ? "en" : undefined}>{why || input.reason || ""}</p>
        </div>
      )}
      <div class="picture-tag">
        <Badge level={inputLevel(input)}>{input.engine?.on_air === "slate" ? t("on-air.slate") : maybe("input." + input.state, input.state)}</Badge>
        {input.confidence?.picture?.black.active && <Badge level="major">{t("picture.black")}</Badge>}
        {input.confidence?.picture?.freeze.active && <Badge level="major">{t("picture.freeze")}</Badge>}
        {input.confidence?.picture?.bars.active && <Badge level="info">{t("picture.bars")}</Badge>}
        {old && <Badge level="off">{t("picture.old", { n: age })}</Badge>}
      </div>
    </div>
  );
}

const floor = -60;
const share = (db: number) => Math.max(0, Math.min(1, (db - floor) / -floor));

function Meters({ peak, rms }: { peak: number[]; rms: number[] }) {
  if (!peak.length) return <p class="meters-none quiet-text">{t("meters.none")}</p>;
  return (
    <div class="meters">
      {peak.map((p, i) => {
        const level = p > -1 ? "hot" : p > -9 ? "warm" : "";
        const silent = p <= floor;
        return (
          <div class="meter" key={i}>
            <span class="meter-name">{i + 1}</span>
            <div class="meter-bar" role="meter" aria-label={t("meter", { n: i + 1 })} aria-valuemin={floor} aria-valuemax={0} aria-valuenow={Math.round(Math.max(p, floor))}
              aria-valuetext={silent ? t("meter.silent") : num(p, 0) + " dBFS"}>
              <i class="meter-rms" style={{ transform: `scaleX(${share(rms[i] ?? p)})` }} />
              <i class={"meter-peak " + level} style={{ left: `${share(p) * 100}%` }} />
            </div>
            <span class="meter-value">{silent ? "−∞" : num(p, 0)}</span>
          </div>
        );
      })}
      <div class="meter-scale" aria-hidden="true">
        <span />
        <div>
          {[-60, -40, -30, -20, -9, 0].map((v) => (
            <i key={v} style={{ left: `${share(v) * 100}%` }}>
              {num(v)}
            </i>
          ))}
        </div>
        <span>dBFS</span>
      </div>
    </div>
  );
}

function Chain({ box, l }: { box: BoxStatus; l: Live }) {
  const paths = box.paths ?? [];
  const legs = [...new Set(paths.map((p) => p.leg))].sort((a, b) => a - b);
  return (
    <section class="panel chain" aria-label={t("chain")}>
      <ol class="stages">
        <Stage name={t("stage.input")} level={inputLevel(box.input)} word={maybe("input." + box.input.state, box.input.state)}>
          <InputStage i={box.input} />
        </Stage>
        <Stage name={t("stage.encoder")} level={encoderLevel(box.input)} word={encoderWord(box.input)}>
          <EncoderStage i={box.input} />
        </Stage>
        <Stage name={t("stage.fec")} level={box.plan.problem ? "major" : box.plan.rows_per_stream > 0 ? "ok" : "off"}
          word={box.plan.problem ? t("fec.problem") : box.plan.rows_per_stream > 0 ? t("fec.on") : t("fec.off")}>
          <FECStage p={box.plan} />
        </Stage>
      </ol>
      <div class="trunk" aria-hidden="true" />
      <table class="paths" role="table">
        <caption class="visually-hidden">{t("paths.caption")}</caption>
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">{t("path")}</th>
            <th role="columnheader" scope="col" class="r">{t("bitrate")}</th>
            <th role="columnheader" scope="col" class="r">{t("rtt")}</th>
            <th role="columnheader" scope="col" class="r">{t("loss.wire")}</th>
            <th role="columnheader" scope="col" class="r">{t("loss.path")}</th>
            <th role="columnheader" scope="col" class="r">{t("loss.after")}</th>
            <th role="columnheader" scope="col">{t("gateway")}</th>
          </tr>
        </thead>
        {legs.map((leg) => (
          <tbody role="rowgroup" key={leg}>
            <LegRow leg={leg} paths={paths.filter((p) => p.leg === leg)} l={l} />
            {paths.filter((p) => p.leg === leg).map((p) => (
              <PathRow p={p} l={l} key={p.name} />
            ))}
          </tbody>
        ))}
      </table>
    </section>
  );
}

function Stage({ name, level, word, children }: { name: string; level: Level; word: string; children: ComponentChildren }) {
  return (
    <li class="stage">
      <div class="stage-head">
        <h2>{name}</h2>
        <Badge level={level}>{word}</Badge>
      </div>
      {children}
    </li>
  );
}

function InputStage({ i }: { i: Input }) {
  const errors = i.continuity_errors_total + i.transport_errors_total;
  return (
    <>
      <p class="big">
        <span class="number">{mbps(i.bitrate_bps)}</span> <span class="unit">Mbit/s</span>
      </p>
      <p class="stage-line mono" title={i.url}>
        {i.url || i.type}
      </p>
      {i.reason ? (
        <p class="stage-line bad-text" lang="en">{i.reason}</p>
      ) : (
        <p class="stage-line">
          {t("jitter")} <b class="number">{ms(i.jitter_ms)}</b> ms · {t("errors")} <b class="number">{whole(errors)}</b>
        </p>
      )}
      {i.legs && i.legs.length > 1 && (
        <p class="stage-line">
          {i.legs.map((g, k) => (
            <span class="inline-state" key={k}>
              <Shape level={g.state === "ok" ? "ok" : "major"} /> {t("copy", { n: k + 1 })}: {maybe("input." + g.state, g.state)}{" "}
            </span>
          ))}
        </p>
      )}
    </>
  );
}

function encoderLevel(i: Input): Level {
  const e = i.engine;
  if (!e) return "off";
  if (!e.up) return "major";
  return e.on_air === "engine" ? "ok" : "critical";
}

function encoderWord(i: Input): string {
  const e = i.engine;
  if (!e) return t("encoder.through");
  if (!e.up) return t("encoder.down");
  return maybe("on-air." + e.on_air, e.on_air);
}

const codecNames: Record<string, string> = { h264: "H.264", hevc: "H.265", mpeg2: "MPEG-2", aac: "AAC", mp2: "MP2", ac3: "AC-3", eac3: "E-AC-3" };

/** A codec as engineers write it. */
export const codec = (c: string | undefined): string => (c ? (codecNames[c] ?? c) : "");

function codecs(i: Input): string {
  const s = i.monitor?.services?.[0];
  return (s?.components ?? []).filter((c) => c.codec).map((c) => codec(c.codec)).slice(0, 4).join(" + ");
}

function EncoderStage({ i }: { i: Input }) {
  const e = i.engine;
  const c = codecs(i);
  if (!e) {
    return (
      <>
        <p class="big small">{c || "TS"}</p>
        <p class="stage-line">{i.monitor?.services?.[0]?.name ?? ""}</p>
        <p class="stage-line">{t("encoder.through.text")}</p>
      </>
    );
  }
  return (
    <>
      <p class="big">
        <span class="number">{mbps(e.rate_bps)}</span> <span class="unit">Mbit/s</span>
      </p>
      <p class="stage-line">{[e.encoder, c].filter(Boolean).join(" · ")}</p>
      {e.reason && !e.up ? (
        <p class="stage-line bad-text" lang="en">{e.reason}</p>
      ) : (
        <p class="stage-line">
          {t("delay")} <b class="number">{ms(e.delay_ms)}</b> ms · {t("late-frames")} <b class="number">{whole(e.late_frames_total)}</b>
        </p>
      )}
    </>
  );
}

/** How the total latency is used. */
export function LatencyBar({ p }: { p: Plan }) {
  const parts: [string, number, string][] = [
    ["srt", p.srt_latency_ms - p.spare_ms, t("latency.srt")],
    ["spare", p.spare_ms, t("latency.spare")],
    ["stagger", p.stagger_ms, t("latency.stagger")],
    ["fec", p.fec_bound_ms, t("latency.fec")],
    ["reserve", p.reserve_ms, t("latency.reserve")],
  ];
  const used = parts.filter(([, v]) => v > 0);
  const total = Math.max(p.latency_ms, used.reduce((a, [, v]) => a + v, 0), 1);
  return (
    <div class="latency" role="img" aria-label={used.map(([, v, name]) => `${name} ${whole(v)} ms`).join(", ")}>
      {used.map(([k, v]) => (
        <i class={"latency-" + k} key={k} style={{ width: `${(v / total) * 100}%` }} />
      ))}
    </div>
  );
}

function FECStage({ p }: { p: Plan }) {
  return (
    <>
      <p class="big">
        <span class="number">{whole(p.latency_ms)}</span> <span class="unit">ms</span>
      </p>
      <LatencyBar p={p} />
      <p class="stage-line">
        {p.problem ? <span lang="en">{p.problem}</span> : p.rows_per_stream > 0 ? (
          <>
            K {p.k} + {p.rows_per_stream} × {p.streams} · {t("parity")} <b class="number">{num(p.overhead_measured_percent || p.overhead_percent, 1)}</b> %
          </>
        ) : t("fec.off.text")}
      </p>
    </>
  );
}

function LegRow({ leg, paths, l }: { leg: number; paths: PathStatus[]; l: Live }) {
  const up = paths.filter(carries).length;
  const level: Level = up === 0 ? "critical" : up === 1 && paths.length > 1 ? "major" : "ok";
  const lost = paths.map((p) => lostOfLate(l.traces.get(p.name))).filter((x): x is number => x !== null);
  // A receiver merges what its gateways send: the better one counts.
  const best = lost.length ? Math.min(...lost) : null;
  return (
    <tr role="row" class="leg">
      <th role="rowheader" scope="rowgroup" colSpan={7}>
        <span class="leg-name">{t("leg", { n: leg })}</span>
        <Badge level={level}>{up === 0 ? t("leg.down") : up === 1 && paths.length > 1 ? t("leg.single") : t("leg.protected")}</Badge>
        <span class="leg-lost">{best === null ? t("leg.unknown") : best === 0 ? t("leg.whole", { n: traceLength }) : t("leg.lost", { n: best })}</span>
      </th>
    </tr>
  );
}

function PathRow({ p, l }: { p: PathStatus; l: Live }) {
  const tr = l.traces.get(p.name);
  const level = pathLevel(p);
  const up = p.state === "up";
  const a = p.arrival;
  const lost = lostOfLate(tr);
  return (
    <tr role="row" class={"path " + level}>
      <th role="rowheader" scope="row">
        <span class="path-name">
          <Shape level={level} />
          <strong>{p.name}</strong>
          <span class="path-state">{up ? t("path.up") : maybe("path." + p.state, p.state)}</span>
        </span>
        <span class="path-where">{[p.interface, p.encrypted ? "AES" : t("path.clear"), p.profile].filter(Boolean).join(" · ")}</span>
        {p.reason && !up && <span class="path-reason" lang="en">{p.reason}</span>}
      </th>
      <td role="cell" class="r" data-label={t("bitrate")}>
        <span class="cell-main">
          <b class="number">{up ? mbps(p.bitrate_bps) : "–"}</b> <span class="unit">Mbit/s</span>
        </span>
        <Spark values={tr?.bitrate ?? []} label={t("spark.bitrate", { name: p.name })} />
      </td>
      <td role="cell" class="r" data-label={t("rtt")}>
        <b class="number">{up ? ms(p.rtt_ms) : "–"}</b> <span class="unit">ms</span>
      </td>
      <td role="cell" class="r" data-label={t("loss.wire")}>
        <b class="number">{up ? loss(p.send_loss_percent) : "–"}</b> <span class="unit">%</span>
      </td>
      <td role="cell" class="r" data-label={t("loss.path")}>
        <b class="number">{a && up ? loss(a.loss_percent) : "–"}</b> <span class="unit">%</span>
      </td>
      <td role="cell" class={"r " + (lost ? "bad-text" : "")} data-label={t("loss.after")}>
        <b class="number">{lost === null || !up ? "–" : whole(lost)}</b> <span class="unit">{t("packets")}</span>
      </td>
      <td role="cell" class="gateway-cell" data-label={t("gateway")}>
        {a && up ? (
          <span class="gateway-says">
            {t("margin")} <b class="number">{ms(a.merged.margin_ms)}</b> ms · {t("by-parity")} <b class="number">{whole(a.by_parity_total)}</b> · {t("by-other")}{" "}
            <b class="number">{whole(a.by_other_total)}</b>
            {a.digest.different_total > 0 && <span class="bad-text"> · {t("digest.different", { n: a.digest.different_total })}</span>}
            {a.age_ms > 3000 && <span class="warn-text"> · {t("report.old", { n: Math.round(a.age_ms / 1000) })}</span>}
          </span>
        ) : (
          <span class="quiet-text" lang={p.arrival_unknown ? "en" : undefined}>{up ? p.arrival_unknown || t("gateway.silent") : ""}</span>
        )}
        {p.remote && <span class="path-where mono">{p.remote}</span>}
      </td>
    </tr>
  );
}

export function Conditions({ list, now }: { list: Condition[]; now: string }) {
  const active = list.filter((c) => c.active);
  const first = active.filter((c) => !c.masked), rest = active.filter((c) => c.masked);
  return (
    <Panel title={t("conditions")} class="conditions" id="conditions" side={<span class="count">{first.length || ""}</span>}>
      {first.length === 0 && (
        <p class="all-well">
          <Shape level="ok" /> {t("conditions.none")}
        </p>
      )}
      <ul class="condition-list">
        {first.map((c) => (
          <ConditionItem c={c} now={now} key={c.id} />
        ))}
      </ul>
      {rest.length > 0 && (
        <details class="more">
          <summary>{t("conditions.masked", { n: rest.length })}</summary>
          <ul class="condition-list">
            {rest.map((c) => (
              <ConditionItem c={c} now={now} key={c.id} />
            ))}
          </ul>
        </details>
      )}
    </Panel>
  );
}

export function ConditionItem({ c, now }: { c: Condition; now: string }) {
  const w = conditionWords(c);
  return (
    <li class={"condition " + c.severity}>
      <Badge level={c.active ? c.severity : "off"} />
      <div>
        <p class="condition-text" lang={w.lang}>
          <strong>{resource(c.resource)}</strong> {w.text}
        </p>
        {w.remedy && c.active && (
          <p class="condition-remedy" lang={w.lang}>
            <span class="todo">{t("todo")}</span> {w.remedy}
          </p>
        )}
        <p class="condition-since">
          {c.active ? t("since", { time: clock(c.raised), ago: duration(since(c.raised, now)) }) : t("cleared", { time: clock(c.cleared) })}
          {c.count > 1 && " · " + t("times", { n: c.count })} · <code>{c.code}</code>
        </p>
      </div>
    </li>
  );
}

function Machine({ o }: { o: Overview }) {
  const s = o.system;
  const tele = o.telemetry;
  const level: Level = tele.state === "ok" ? "ok" : tele.state === "off" ? "off" : tele.state === "waiting" ? "warning" : "minor";
  return (
    <Panel title={t("machine")} class="machine">
      <dl class="values">
        <Value label={t("cpu")} value={num(s.cpu_percent, 0)} unit="%" />
        <Value label={t("memory")} value={whole(s.memory_mib)} unit={"/ " + whole(s.memory_total_mib) + " MiB"} />
        <Value label={t("temperature")} value={s.temperature_c === null ? "–" : num(s.temperature_c, 0)} unit="°C" />
        <Value label={t("uptime")} value={duration(s.uptime_s)} />
      </dl>
      <p class="machine-line">
        <Badge level={level}>{t(("telemetry." + tele.state) as Key)}</Badge> {t("telemetry.home")}
        {tele.queued_records > 0 && <span class="quiet-text"> · {t("telemetry.queued", { n: tele.queued_records })}</span>}
      </p>
      <p class="machine-line">
        <Badge level={o.network.clock_synchronised ? "ok" : "warning"}>{o.network.clock_synchronised ? t("clock.synced") : t("clock.free")}</Badge> {o.network.time_server}
      </p>
      {(o.shared_interfaces ?? []).map((x) => (
        <p class="machine-line" key={x.interface}>
          <Badge level="warning">{t("shared")}</Badge> {t("shared.text", { interface: x.interface, paths: x.paths.join(", ") })}
        </p>
      ))}
    </Panel>
  );
}
