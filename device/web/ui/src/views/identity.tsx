// Who the box is: its certificates, and how it gets them.
import { useState } from "preact/hooks";
import { call, get, Problem } from "../api";
import { put } from "../doc";
import { ErrorSummary, FormOver, may, NeedsRole, SecretField, TextArea, TextField } from "../form";
import { duration, moment } from "../format";
import { t, useLanguage, type Key } from "../i18n";
import type { Certificate, Doc, Identity, Issue } from "../types";
import { Badge, Button, Loading, Note, Panel, ProblemNote, say, useFetch, type Level } from "../ui";

export default function IdentityView() {
  useLanguage();
  const i = useFetch(() => get<Identity>("/identity"));
  const d = i.data;
  const level: Level = d?.enrolment.state === "enrolled" ? "ok" : d?.enrolment.state === "failing" ? "minor" : d?.enrolment.state === "request" ? "busy" : "off";
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.identity")}</h1>
        <NeedsRole role="admin" />
      </div>
      {!d && <Loading error={i.error} />}
      {d && (
        <>
          <Panel title={t("identity.box")} side={<Badge level={level}>{t(("enrolment." + d.enrolment.state) as Key)}</Badge>}>
            <dl class="facts">
              <dt>{t("serial")}</dt>
              <dd class="mono">{d.serial}</dd>
              <dt>{t("product")}</dt>
              <dd>{d.product}</dd>
              {d.device_key && (
                <>
                  <dt>{t("identity.key")}</dt>
                  <dd class="mono breaks">{d.device_key.match(/.{1,4}/g)?.join(" ")}</dd>
                </>
              )}
              {d.enrolment.url && (
                <>
                  <dt>EST</dt>
                  <dd class="mono">{d.enrolment.url}</dd>
                </>
              )}
              {d.enrolment.renew_at && (
                <>
                  <dt>{t("identity.renew")}</dt>
                  <dd>{moment(d.enrolment.renew_at)} UTC</dd>
                </>
              )}
            </dl>
            {d.enrolment.last_error && (
              <Note level="warning" title={t("identity.error")}>
                <p lang="en">{d.enrolment.last_error}</p>
              </Note>
            )}
          </Panel>
          <Cert title={t("identity.device")} help={t("identity.device.help")} c={d.device_certificate} />
          <Cert title={t("identity.ca")} help={t("identity.ca.help")} c={d.ca_certificate} />
          <Cert title={t("identity.page")} help={t("identity.page.help")} c={d.page_certificate} />
        </>
      )}
      {may("admin") && (
        <div class="columns">
          <Enrol done={i.reload} />
          <Install done={i.reload} />
        </div>
      )}
    </>
  );
}

function Cert({ title, help, c }: { title: string; help: string; c: Certificate | null }) {
  const left = c ? (new Date(c.not_after).getTime() - Date.now()) / 1000 : 0;
  return (
    <Panel title={title} side={c ? <Badge level={left <= 0 ? "major" : "ok"}>{left <= 0 ? t("cert.expired") : t("cert.valid", { time: duration(left) })}</Badge> : <Badge level="off">{t("cert.none")}</Badge>}>
      <p class="help">{help}</p>
      {c && (
        <dl class="facts">
          <dt>{t("cert.subject")}</dt>
          <dd>{c.subject}</dd>
          <dt>{t("cert.issuer")}</dt>
          <dd>{c.issuer}</dd>
          <dt>{t("cert.validity")}</dt>
          <dd>
            {moment(c.not_before)} – {moment(c.not_after)} UTC
          </dd>
          {(c.names ?? []).length > 0 && (
            <>
              <dt>{t("cert.names")}</dt>
              <dd class="mono">{(c.names ?? []).join(", ")}</dd>
            </>
          )}
          <dt>SHA-256</dt>
          <dd class="mono breaks">{c.sha256.match(/.{1,4}/g)?.join(" ")}</dd>
        </dl>
      )}
    </Panel>
  );
}

/** A small form that posts its fields. */
function useTask(method: string, path: string, done: () => void, words: string) {
  const [doc, setDoc] = useState<Doc>({});
  const [errors, setErrors] = useState<Issue[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setErrors([]);
    setError(null);
    try {
      await call(method, path, doc, { timeout: 60_000 });
      setDoc({});
      say(words);
      done();
    } catch (x) {
      if (x instanceof Problem && x.errors.some((i) => i.path)) setErrors(x.errors);
      else setError(x);
    } finally {
      setBusy(false);
    }
  };
  return { doc, errors, error, busy, submit, set: (p: string, v: Doc[string] | undefined) => setDoc((d) => put(d, p, v) as Doc) };
}

function Enrol({ done }: { done: () => void }) {
  const k = useTask("POST", "/identity/enrol", done, t("enrol.done"));
  return (
    <Panel title={t("enrol.title")}>
      <p class="help">{t("enrol.help")}</p>
      <FormOver doc={k.doc} errors={k.errors} set={k.set}>
        <form onSubmit={k.submit} noValidate>
          {k.errors.length > 0 && <ErrorSummary />}
          <ProblemNote error={k.error} />
          <TextField path="url" label={t("enrol.url")} mono width="long" placeholder="https://ca.example.net" />
          <SecretField path="token" label={t("enrol.token")} autocomplete="off" />
          <TextArea path="ca" label={t("enrol.ca")} mono rows={4} placeholder="-----BEGIN CERTIFICATE-----" />
          <TextArea path="home_ca" label={t("install.ca")} help={t("enrol.home.help")} mono rows={3} />
          <Button type="submit" kind="primary" busy={k.busy}>
            {t("enrol.action")}
          </Button>
        </form>
      </FormOver>
    </Panel>
  );
}

function Install({ done }: { done: () => void }) {
  const k = useTask("PUT", "/identity/certificate", done, t("install.done"));
  const [csr, setCSR] = useState("");
  const [error, setError] = useState<unknown>(null);
  const make = async () => {
    setError(null);
    try {
      setCSR((await call<{ csr: string }>("POST", "/identity/csr")).data.csr);
      done();
    } catch (e) {
      setError(e);
    }
  };
  return (
    <Panel title={t("install.title")}>
      <p class="help">{t("install.help")}</p>
      <ProblemNote error={error} />
      <div class="actions start">
        <Button onClick={() => void make()}>{t("install.csr")}</Button>
      </div>
      {csr && (
        <div class="field long">
          <label for="csr">{t("install.csr.text")}</label>
          <textarea id="csr" class="mono" rows={8} readOnly value={csr} onFocus={(e) => e.currentTarget.select()} />
        </div>
      )}
      <FormOver doc={k.doc} errors={k.errors} set={k.set}>
        <form onSubmit={k.submit} noValidate>
          {k.errors.length > 0 && <ErrorSummary />}
          <ProblemNote error={k.error} />
          <TextArea path="certificate" label={t("install.certificate")} mono rows={4} placeholder="-----BEGIN CERTIFICATE-----" />
          <TextArea path="ca" label={t("install.ca")} mono rows={4} placeholder="-----BEGIN CERTIFICATE-----" />
          <Button type="submit" kind="primary" busy={k.busy}>
            {t("install.action")}
          </Button>
        </form>
      </FormOver>
    </Panel>
  );
}
