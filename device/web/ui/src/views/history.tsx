// The last day in plots. uPlot draws; a table says the same in numbers.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../api";
import { moment, num } from "../format";
import { maybe, t, useLanguage, type Key } from "../i18n";
import { live } from "../live";
import type { Condition, History } from "../types";
import { Loading, Panel, ProblemNote, Scroll, useFetch } from "../ui";
import { ConditionItem } from "./live";

const ranges: [Key, number][] = [["range.15m", 900], ["range.1h", 3600], ["range.6h", 21600], ["range.24h", 86400]];

// Which series make one plot: the first that matches takes it.
const plots: [Key, RegExp][] = [
  ["plot.bitrate", /bit_?rate|\bbps\b|(^|[._])(rx|tx)_bps|wire/i],
  ["plot.rtt", /rtt/i],
  ["plot.loss", /loss|lost|unrecovered|percent.*loss/i],
  ["plot.margin", /margin|skew|jitter/i],
  ["plot.temperature", /temp/i],
  ["plot.cpu", /cpu|load/i],
  ["plot.memory", /mem/i],
];

export default function HistoryView() {
  useLanguage();
  const [range, setRange] = useState(3600);
  const names = useFetch(() => get<History>("/history"));
  const past = useFetch(() => get<{ conditions: Condition[] | null }>("/conditions"));
  const groups = new Map<Key, string[]>();
  for (const n of Object.keys(names.data?.series ?? {}).sort()) {
    const key = plots.find(([, re]) => re.test(n))?.[0];
    if (key) groups.set(key, [...(groups.get(key) ?? []), n]);
  }
  const order = plots.map(([k]) => k).filter((k) => groups.has(k));
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.history")}</h1>
        <div class="segments" role="group" aria-label={t("range")}>
          {ranges.map(([k, s]) => (
            <button type="button" key={k} aria-pressed={s === range} onClick={() => setRange(s)}>
              {t(k)}
            </button>
          ))}
        </div>
      </div>
      {!names.data && <Loading error={names.error} />}
      {names.data && !order.length && <p class="quiet-text">{t("history.none")}</p>}
      <div class="plots">
        {order.map((k) => (
          <Plot key={k} title={t(k)} names={groups.get(k) ?? []} range={range} />
        ))}
      </div>
      <Panel title={t("history.conditions")}>
        <ProblemNote error={past.error} />
        <ul class="condition-list">
          {(past.data?.conditions ?? []).map((c) => (
            <ConditionItem c={c} now={live.value.overview?.time ?? ""} key={c.id} />
          ))}
        </ul>
        {past.data && !(past.data.conditions ?? []).length && <p class="quiet-text">{t("history.quiet")}</p>}
      </Panel>
    </>
  );
}

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function Plot({ title, names, range }: { title: string; names: string[]; range: number }) {
  const host = useRef<HTMLDivElement>(null);
  const [data, setData] = useState<History | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [dark, setDark] = useState(matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const m = matchMedia("(prefers-color-scheme: dark)");
    const f = () => setDark(m.matches);
    m.addEventListener("change", f);
    return () => m.removeEventListener("change", f);
  }, []);
  useEffect(() => {
    let on = true;
    const load = () => {
      const to = Math.floor(Date.now() / 1000);
      get<History>(`/history?series=${names.map(encodeURIComponent).join(",")}&from=${to - range}&to=${to}`).then(
        (h) => on && (setData(h), setError(null)),
        (e: unknown) => on && setError(e),
      );
    };
    load();
    const timer = setInterval(load, range <= 3600 ? 10_000 : 60_000);
    return () => {
      on = false;
      clearInterval(timer);
    };
  }, [names.join(), range]);
  const series = Object.entries(data?.series ?? {});
  const unit = series[0]?.[1].unit ?? "";
  const big = unit === "bit/s" || unit === "bps";
  const scale = big ? 1e-6 : 1;
  const shown = big ? "Mbit/s" : unit;
  useEffect(() => {
    const el = host.current;
    if (!el || !data || !series.length) return;
    const from = new Date(data.from).getTime() / 1000;
    const n = Math.max(...series.map(([, s]) => s.points?.length ?? 0));
    const x = Array.from({ length: n }, (_, i) => from + i * data.step_s);
    const ys = series.map(([, s]) => x.map((_, i) => {
      const v = s.points?.[i];
      return v === null || v === undefined ? null : v * scale;
    }));
    const ink = css("--ink-2"), line = css("--line");
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: `12px ${css("--font")}` };
    const dashes = [[], [6, 3], [2, 2], [8, 3, 2, 3]];
    const u = new uPlot({
      width: el.clientWidth, height: 190, tzDate: (s) => uPlot.tzDate(new Date(s * 1000), "Etc/UTC"),
      cursor: { points: { size: 6 } }, legend: { live: true },
      scales: { y: { range: (_u, min, max) => [Math.min(0, min ?? 0), (max || 1) * 1.08] } },
      axes: [axis, { ...axis, size: 56, values: (_u, vs) => vs.map((v) => num(v, Math.abs(v) < 10 && v % 1 ? 1 : 0)) }],
      // Colour and dash together tell the lines apart.
      series: [
        { label: "UTC", value: (_u, v) => (v === null || v === undefined ? "–" : moment(v * 1000)) },
        ...series.map(([name], i) => ({
          label: label(name), stroke: css(`--plot-${(i % 6) + 1}`), width: 1.6, dash: dashes[Math.floor(i / 6) % 4] ?? [], points: { show: false },
          value: (_u: uPlot, v: number | null) => (v === null || v === undefined ? "–" : num(v, 2) + " " + shown),
        })),
      ],
    }, [x, ...ys] as uPlot.AlignedData, el);
    const size = new ResizeObserver(() => u.setSize({ width: el.clientWidth, height: 190 }));
    size.observe(el);
    return () => {
      size.disconnect();
      u.destroy();
    };
  }, [data, dark]);
  const summary = series.map(([name, s]) => {
    const v = (s.points ?? []).filter((p): p is number => p !== null).map((p) => p * scale);
    return { name, last: v[v.length - 1], min: v.length ? Math.min(...v) : undefined, max: v.length ? Math.max(...v) : undefined, mean: v.length ? v.reduce((a, b) => a + b, 0) / v.length : undefined };
  });
  return (
    <Panel title={title} side={<span class="quiet-text">{shown}</span>} class="plot">
      <ProblemNote error={error} />
      <div ref={host} class="plot-host" aria-hidden="true" />
      <details class="more">
        <summary>{t("plot.numbers")}</summary>
        <Scroll label={title}>
          <table class="table">
            <thead>
              <tr>
                <th scope="col">{t("plot.series")}</th>
                <th scope="col" class="r">{t("plot.last")}</th>
                <th scope="col" class="r">{t("plot.min")}</th>
                <th scope="col" class="r">{t("plot.mean")}</th>
                <th scope="col" class="r">{t("plot.max")}</th>
              </tr>
            </thead>
            <tbody>
              {summary.map((r) => (
                <tr key={r.name}>
                  <th scope="row">{label(r.name)}</th>
                  <td class="r number">{num(r.last, 2)}</td>
                  <td class="r number">{num(r.min, 2)}</td>
                  <td class="r number">{num(r.mean, 2)}</td>
                  <td class="r number">{num(r.max, 2)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </Panel>
  );
}

/** A series' name without what all of its plot have in common. */
function label(name: string): string {
  return maybe("series." + name, name);
}
