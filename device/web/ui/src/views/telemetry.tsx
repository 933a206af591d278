// How the box's reports get home, and how well its paths have done.
import { useEffect, useState } from "preact/hooks";
import { call, get } from "../api";
import { CheckField, may, NeedsRole, NumberField, TextField } from "../form";
import { bytes, duration, moment, num, since, whole } from "../format";
import { t, useLanguage, type Key } from "../i18n";
import { live } from "../live";
import { useStore } from "../store";
import type { Telemetry } from "../types";
import { Badge, Button, Loading, Note, Panel, ProblemNote, say, Scroll, useFetch, Value, type Level } from "../ui";
import { resource } from "./live";
import { SettingsForm } from "./settings";

export default function TelemetryView() {
  useLanguage();
  const o = useStore(live).overview;
  const full = useFetch(() => get<Telemetry>("/telemetry"));
  useEffect(() => {
    const timer = setInterval(full.reload, 10_000);
    return () => clearInterval(timer);
  }, []);
  const s = o?.telemetry ?? full.data;
  const level: Level = !s ? "busy" : s.state === "ok" ? "ok" : s.state === "off" ? "off" : s.state === "waiting" ? "warning" : "minor";
  const [size, unit] = bytes(s?.queued_bytes);
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.telemetry")}</h1>
        <NeedsRole role="admin" />
      </div>
      {!s && <Loading error={full.error} />}
      {s && (
        <Panel title={t("telemetry.home")} side={<Badge level={level}>{t(("telemetry." + s.state) as Key)}</Badge>}>
          <dl class="values">
            <Value label={t("telemetry.contact")} value={duration(since(s.last_contact, o?.time ?? ""))} note={s.last_contact ? t("ago", { time: moment(s.last_contact) }) : t("never")} />
            <Value label={t("telemetry.records")} value={whole(s.queued_records)} note={s.oldest_queued ? t("telemetry.oldest", { time: moment(s.oldest_queued) }) : ""} />
            <Value label={t("telemetry.bytes")} value={size} unit={unit} />
            <Value label={t("telemetry.gaps")} value={whole(s.gaps)} note={s.gaps ? t("telemetry.gaps.text") : ""} />
          </dl>
          {s.last_error && (
            <Note level={s.state === "ok" ? "info" : "warning"} title={t("telemetry.error")}>
              <p lang="en">{s.last_error}</p>
            </Note>
          )}
        </Panel>
      )}
      <Panel title={t("availability")}>
        <p class="help">{t("availability.help")}</p>
        {(full.data?.availability ?? []).length ? (
          <Scroll label={t("availability")}>
            <table class="table">
              <thead>
                <tr>
                  <th scope="col">{t("availability.what")}</th>
                  <th scope="col" class="r">{t("availability.percent")}</th>
                  <th scope="col" class="r">{t("availability.target")}</th>
                  <th scope="col" class="r">{t("availability.errors")}</th>
                  <th scope="col" class="r">{t("availability.window")}</th>
                </tr>
              </thead>
              <tbody>
                {(full.data?.availability ?? []).map((a) => (
                  <tr key={a.resource + a.window_s}>
                    <th scope="row">{resource(a.resource)}</th>
                    <td class="r">
                      <Badge level={a.percent >= a.target_percent ? "ok" : "minor"}>
                        <span class="number">{num(a.percent, 4)} %</span>
                      </Badge>
                    </td>
                    <td class="r number">{num(a.target_percent, 3)} %</td>
                    <td class="r number">{num(a.error_seconds, 0)} s</td>
                    <td class="r number">{duration(a.window_s)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        ) : full.data ? (
          <p class="quiet-text">{t("availability.none")}</p>
        ) : (
          <Loading error={full.error} />
        )}
      </Panel>
      <SettingsForm title={t("telemetry.settings")}>
        <div class="fields">
          <CheckField path="telemetry.enabled" label={t("telemetry.enabled")} />
          <TextField path="telemetry.endpoint" label={t("telemetry.endpoint")} help={t("telemetry.endpoint.help")} mono width="long" placeholder="https://collector.example.net:4318" />
          <NumberField path="telemetry.interval_s" label={t("telemetry.interval")} unit="s" fallback="10" />
        </div>
      </SettingsForm>
      {may("admin") && <Metrics />}
    </>
  );
}

function Metrics() {
  const [token, setToken] = useState("");
  const [error, setError] = useState<unknown>(null);
  const act = async (method: "POST" | "DELETE") => {
    setError(null);
    try {
      const a = await call<{ token: string } | null>(method, "/metrics-token");
      setToken(a.data?.token ?? "");
      if (method === "DELETE") say(t("metrics.ended"));
    } catch (e) {
      setError(e);
    }
  };
  return (
    <Panel title="Prometheus">
      <p class="help">{t("metrics.help")}</p>
      <ProblemNote error={error} />
      {token && (
        <Note level="info" title={t("metrics.once")}>
          <p>
            <code class="secret">{token}</code>
          </p>
        </Note>
      )}
      <div class="actions start">
        <Button onClick={() => void act("POST")}>{t("metrics.new")}</Button>
        <Button onClick={() => void act("DELETE")}>{t("metrics.end")}</Button>
      </div>
    </Panel>
  );
}
