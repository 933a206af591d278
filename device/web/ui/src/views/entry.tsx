// Before anybody is signed in: the claim of a new box, and the login.
import { useEffect, useState } from "preact/hooks";
import { call, Problem, type SignedOut } from "../api";
import { box, enter, LanguageChoice } from "../app";
import { ErrorSummary, FormOver, TextField } from "../form";
import { t } from "../i18n";
import { put } from "../doc";
import type { ComponentChildren } from "preact";
import type { Doc, Issue, Session } from "../types";
import { Button, Note, ProblemNote } from "../ui";

/** A wait that the box asked for: no more tries meanwhile, and one sees why. */
function useWait(): [number, (s: number) => void] {
  const [until, setUntil] = useState(0);
  const [, tick] = useState(0);
  const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => tick((n) => n + 1), 500);
    return () => clearTimeout(timer);
  });
  return [left, (s) => setUntil(performance.now() + s * 1000)];
}

function Card({ title, children }: { title: string; children: ComponentChildren }) {
  const s = box.value.state;
  useEffect(() => {
    document.title = `${title} – ${s?.name || "Quartet"}`;
  }, [title]);
  // The first thing to fill in; nothing above it is missed by who hears it, the
  // heading names the form.
  useEffect(() => document.querySelector<HTMLInputElement>(".entry-card input")?.focus(), []);
  return (
    <div class="entry">
      <header class="entry-top">
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
          <path d="M4 16h6M10 16C14 16 13 6 18 6h10M10 16c4 0 4-3.500 8-3.500h10M10 16c4 0 4 3.500 8 3.500h10M10 16c4 0 3 10 8 10h10" />
        </svg>
        <LanguageChoice />
      </header>
      <main class="entry-card">
        <p class="entry-box">{s?.name || s?.product}</p>
        <h1>{title}</h1>
        {children}
      </main>
      <footer class="entry-foot">
        <span>
          {s?.product} {s?.version}
        </span>
        <span>{s?.serial && t("serial.is", { serial: s.serial })}</span>
        <a href="/rescue">{t("rescue")}</a>
      </footer>
    </div>
  );
}

export function Claim() {
  const [doc, setDoc] = useState<Doc>({ user: "admin" });
  const [errors, setErrors] = useState<Issue[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [wait, setWait] = useWait();
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy || wait > 0) return;
    setErrors([]);
    setError(null);
    if (doc["password"] !== doc["again"]) {
      setErrors([{ path: "again", value: "", problem: t("password.differs"), remedy: t("password.differs.remedy") }]);
      return;
    }
    setBusy(true);
    try {
      const a = await call<Session>("POST", "/claim", { code: doc["code"] ?? "", user: doc["user"] ?? "", password: doc["password"] ?? "" });
      enter(a.data);
    } catch (x) {
      setBusy(false);
      if (x instanceof Problem && x.errors.some((i) => i.path)) setErrors(x.errors);
      else setError(x);
      if (x instanceof Problem && x.status === 429) setWait(x.retryAfter || 60);
      if (x instanceof Problem && x.status === 409) location.reload();
    }
  };
  return (
    <Card title={t("claim.title")}>
      <p>{t("claim.text")}</p>
      <FormOver doc={doc} errors={errors} set={(p, v) => setDoc((d) => put(d, p, v) as Doc)}>
        <form onSubmit={submit} noValidate>
          {errors.length > 1 && <ErrorSummary />}
          <ProblemNote error={error} />
          <TextField path="code" label={t("claim.code")} help={t("claim.code.help")} mono required autocomplete="off" placeholder="" />
          <TextField path="user" label={t("user.name")} required autocomplete="username" />
          <TextField path="password" label={t("password.new")} help={t("password.help")} type="password" required autocomplete="new-password" />
          <TextField path="again" label={t("password.again")} type="password" required autocomplete="new-password" />
          <Button type="submit" kind="primary" busy={busy} disabled={wait > 0}>
            {wait > 0 ? t("wait", { n: wait }) : t("claim.action")}
          </Button>
        </form>
      </FormOver>
    </Card>
  );
}

export function Login({ why }: { why: SignedOut }) {
  const [doc, setDoc] = useState<Doc>({});
  const [errors, setErrors] = useState<Issue[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [wait, setWait] = useWait();
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy || wait > 0) return;
    setErrors([]);
    setError(null);
    setBusy(true);
    try {
      const a = await call<Session>("POST", "/session", { user: doc["user"] ?? "", password: doc["password"] ?? "" });
      enter(a.data);
    } catch (x) {
      setBusy(false);
      if (x instanceof Problem && x.errors.some((i) => i.path)) setErrors(x.errors);
      else setError(x);
      if (x instanceof Problem && x.status === 429) setWait(x.retryAfter || 60);
    }
  };
  const wrong = error instanceof Problem && error.status === 401;
  return (
    <Card title={t("login.title")}>
      {why === "expired" && !error && (
        <Note level="info" title={t("login.expired")}>
          <p>{t("login.expired.text")}</p>
        </Note>
      )}
      {why === "left" && !error && <Note level="ok">{<p>{t("login.left")}</p>}</Note>}
      {why === "changed" && !error && <Note level="ok">{<p>{t("login.changed")}</p>}</Note>}
      <FormOver doc={doc} errors={errors} set={(p, v) => setDoc((d) => put(d, p, v) as Doc)}>
        <form onSubmit={submit} noValidate>
          {wrong ? (
            <Note level="critical" title={t("login.wrong")} alert>
              <p>{t("login.wrong.remedy")}</p>
            </Note>
          ) : (
            <ProblemNote error={error} />
          )}
          <TextField path="user" label={t("user.name")} required autocomplete="username" />
          <TextField path="password" label={t("password")} type="password" required autocomplete="current-password" />
          <Button type="submit" kind="primary" busy={busy} disabled={wait > 0}>
            {wait > 0 ? t("wait", { n: wait }) : t("login.action")}
          </Button>
        </form>
      </FormOver>
    </Card>
  );
}
