// The end of the log of the box's programs.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../api";
import { moment } from "../format";
import { t, useLanguage } from "../i18n";
import type { LogLine } from "../types";
import { Button, Loading, Note, Panel } from "../ui";

const units = ["all", "quartetd", "quartet-manage", "quartet-netd"];

export default function LogsView() {
  useLanguage();
  const [unit, setUnit] = useState("all");
  const [lines, setLines] = useState(200);
  const [filter, setFilter] = useState("");
  const [follow, setFollow] = useState(false);
  const [data, setData] = useState<{ lines: LogLine[] | null; note?: string } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const end = useRef<HTMLDivElement>(null);
  const load = () =>
    get<{ lines: LogLine[] | null; note?: string }>(`/logs?unit=${unit}&lines=${lines}`).then((d) => {
      setData(d);
      setError(null);
    }, setError);
  useEffect(() => void load(), [unit, lines]);
  useEffect(() => {
    if (!follow) return;
    const timer = setInterval(load, 2000);
    return () => clearInterval(timer);
  }, [follow, unit, lines]);
  useEffect(() => {
    const e = end.current;
    if (follow && e) e.scrollTop = e.scrollHeight;
  }, [data, follow]);
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = (data?.lines ?? []).filter((l) => words.every((w) => `${l.unit} ${l.level} ${l.text}`.toLowerCase().includes(w)));
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.logs")}</h1>
      </div>
      <Panel title={t("logs.lines")} side={
        <>
          <Button pressed={follow} onClick={() => setFollow(!follow)}>{t("logs.follow")}</Button>
          <Button onClick={() => void load()}>{t("refresh")}</Button>
        </>
      }>
        <div class="fields row">
          <div class="field">
            <label for="log-unit">{t("logs.unit")}</label>
            <select id="log-unit" value={unit} onChange={(e) => setUnit(e.currentTarget.value)}>
              {units.map((u) => (
                <option key={u} value={u}>
                  {u === "all" ? t("logs.all") : u}
                </option>
              ))}
            </select>
          </div>
          <div class="field">
            <label for="log-lines">{t("logs.count")}</label>
            <select id="log-lines" value={String(lines)} onChange={(e) => setLines(Number(e.currentTarget.value))}>
              {[200, 1000, 5000].map((n) => (
                <option key={n} value={String(n)}>
                  {n}
                </option>
              ))}
            </select>
          </div>
          <div class="field">
            <label for="log-filter">{t("filter")}</label>
            <input id="log-filter" type="search" value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />
          </div>
        </div>
        {data?.note && <Note level="info">{<p lang="en">{data.note}</p>}</Note>}
        {!data && <Loading error={error} />}
        {data && (
          <div class="log" ref={end} role="log" aria-label={t("logs.lines")} tabIndex={0} lang="en" aria-live="off">
            {shown.map((l, i) => (
              <p key={i} class={"log-line " + l.level}>
                <span class="log-time">{moment(l.time)}</span> <span class="log-level">{l.level}</span> <span class="log-unit">{l.unit}</span> {l.text}
              </p>
            ))}
            {!shown.length && <p>{t("logs.none")}</p>}
          </div>
        )}
      </Panel>
    </>
  );
}
