// What the updater says. Where there is none, why.
import { get } from "../api";
import { maybe, t, useLanguage } from "../i18n";
import type { Update } from "../types";
import { Badge, Loading, Note, Panel, useFetch, type Level } from "../ui";

const levels: Record<string, Level> = { running: "ok", good: "ok", bad: "major", empty: "off" };

export default function UpdateView() {
  useLanguage();
  const u = useFetch(() => get<Update>("/update"));
  const d = u.data;
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.update")}</h1>
      </div>
      {!d && <Loading error={u.error} />}
      {d && (
        <>
          <Panel title={t("update.running")}>
            <p class="big small mono">{d.running_version || "–"}</p>
            {!d.available && (
              <Note level="info" title={t("update.none")}>
                <p lang="en">{d.reason}</p>
              </Note>
            )}
          </Panel>
          {(d.slots ?? []).length > 0 && (
            <Panel title={t("update.slots")}>
              <p class="help">{t("update.slots.help")}</p>
              <ul class="rows">
                {(d.slots ?? []).map((s) => (
                  <li key={s.name}>
                    <strong>{s.name}</strong>
                    <span class="mono">{s.version ?? "–"}</span>
                    <Badge level={levels[s.state] ?? "info"}>{maybe("slot." + s.state, s.state)}</Badge>
                  </li>
                ))}
              </ul>
            </Panel>
          )}
        </>
      )}
    </>
  );
}
