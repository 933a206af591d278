// Who did what. Newest first; the box keeps the log, the page only asks.
import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import { moment } from "../format";
import { maybe, t, useLanguage } from "../i18n";
import type { AuditRecord } from "../types";
import { Badge, Button, Loading, Panel, Scroll, type Level } from "../ui";

const levels: Record<string, Level> = { ok: "ok", refused: "warning", failed: "minor" };

export default function AuditView() {
  useLanguage();
  const [list, setList] = useState<AuditRecord[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [filter, setFilter] = useState("");
  const [limit, setLimit] = useState(100);
  const load = () =>
    get<{ records: AuditRecord[] | null }>("/audit?limit=" + limit).then((a) => {
      setList([...(a.records ?? [])].reverse());
      setError(null);
    }, setError);
  useEffect(() => void load(), [limit]);
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = (list ?? []).filter((r) => {
    const text = [r.actor, r.action, r.target, r.source, r.outcome, r.detail].join(" ").toLowerCase();
    return words.every((w) => text.includes(w));
  });
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.audit")}</h1>
      </div>
      <Panel title={t("audit.records")} side={<Button onClick={() => void load()}>{t("refresh")}</Button>}>
        <div class="field">
          <label for="audit-filter">{t("filter")}</label>
          <input id="audit-filter" type="search" value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />
        </div>
        {!list && <Loading error={error} />}
        {list && (
          <>
            <Scroll label={t("audit.records")}>
              <table class="table">
                <thead>
                  <tr>
                    <th scope="col">{t("time")} (UTC)</th>
                    <th scope="col">{t("audit.who")}</th>
                    <th scope="col">{t("audit.what")}</th>
                    <th scope="col">{t("audit.outcome")}</th>
                    <th scope="col">{t("audit.detail")}</th>
                    <th scope="col">{t("audit.from")}</th>
                  </tr>
                </thead>
                <tbody>
                  {shown.map((r) => (
                    <tr key={r.number}>
                      <td class="number nowrap">{moment(r.time)}</td>
                      <td>
                        {r.actor} <span class="quiet-text">{r.role && maybe("role." + r.role, r.role)}</span>
                      </td>
                      <td>
                        <code>{r.action}</code> {r.target}
                      </td>
                      <td>
                        <Badge level={levels[r.outcome] ?? "info"}>{maybe("outcome." + r.outcome, r.outcome)}</Badge>
                      </td>
                      <td lang="en">{r.detail}</td>
                      <td class="mono">{r.source}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
            {!shown.length && <p class="quiet-text">{t("audit.none")}</p>}
            {list.length >= limit && limit < 1000 && (
              <div class="actions start">
                <Button onClick={() => setLimit(Math.min(1000, limit * 3))}>{t("audit.more")}</Button>
              </div>
            )}
          </>
        )}
      </Panel>
    </>
  );
}
