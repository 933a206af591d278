// What the software is, whose it is, how long it is looked after.
import { get } from "../api";
import { box } from "../app";
import { t, useLanguage } from "../i18n";
import type { About } from "../types";
import { Badge, Loading, Panel, Scroll, useFetch } from "../ui";

export default function AboutView() {
  useLanguage();
  const a = useFetch(() => get<About>("/about"));
  const d = a.data;
  const over = !!d?.support_until && d.support_until < new Date().toISOString().slice(0, 10);
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.about")}</h1>
      </div>
      {!d && <Loading error={a.error} />}
      {d && (
        <>
          <Panel title={d.product}>
            <dl class="facts">
              <dt>{t("version")}</dt>
              <dd class="mono">{d.version}</dd>
              <dt>{t("serial")}</dt>
              <dd class="mono">{box.value.state?.serial}</dd>
              <dt>{t("about.support")}</dt>
              <dd>{d.support_until ? <Badge level={over ? "major" : "ok"}>{d.support_until}</Badge> : "–"}</dd>
              <dt>{t("about.security")}</dt>
              <dd>
                {d.security_contact} · <a href="/.well-known/security.txt">security.txt</a>
              </dd>
              {d.support_contact && (
                <>
                  <dt>{t("about.contact")}</dt>
                  <dd>{d.support_contact}</dd>
                </>
              )}
              <dt>Go</dt>
              <dd class="mono">{d.go_version}</dd>
              <dt>API</dt>
              <dd>
                <a href="/api/v1/openapi.json">OpenAPI 3.1</a>
              </dd>
            </dl>
          </Panel>
          <Panel title={t("about.components")}>
            <Scroll label={t("about.components")}>
              <table class="table">
                <thead>
                  <tr>
                    <th scope="col">{t("about.component")}</th>
                    <th scope="col">{t("version")}</th>
                    <th scope="col">{t("about.licence")}</th>
                  </tr>
                </thead>
                <tbody>
                  {(d.components ?? []).map((c) => (
                    <tr key={c.name}>
                      <th scope="row">{c.name}</th>
                      <td class="mono">{c.version}</td>
                      <td>{c.licence}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          </Panel>
        </>
      )}
    </>
  );
}
