// One's own password and sessions.
import { useState } from "preact/hooks";
import { call, get, Problem, session } from "../api";
import { leave } from "../app";
import { put } from "../doc";
import { ErrorSummary, FormOver, TextField } from "../form";
import { moment } from "../format";
import { t, useLanguage } from "../i18n";
import { start, stop } from "../live";
import type { Doc, Issue, Session } from "../types";
import { Button, Panel, ProblemNote, say } from "../ui";

export default function AccountView() {
  useLanguage();
  const s = session.value.session;
  const [doc, setDoc] = useState<Doc>({});
  const [errors, setErrors] = useState<Issue[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy) return;
    setErrors([]);
    setError(null);
    if (doc["new"] !== doc["again"]) {
      setErrors([{ path: "again", value: "", problem: t("password.differs"), remedy: t("password.differs.remedy") }]);
      return;
    }
    setBusy(true);
    stop(); // the events belong to the session that ends with the old password
    try {
      await call("PUT", "/session/password", { old: doc["old"] ?? "", new: doc["new"] ?? "" });
      session.update({ session: await get<Session>("/session") });
      setDoc({});
      say(t("password.changed"));
    } catch (x) {
      if (x instanceof Problem && x.errors.some((i) => i.path)) setErrors(x.errors);
      else setError(x);
    } finally {
      setBusy(false);
      if (session.value.session) start(null);
    }
  };
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.account")}</h1>
      </div>
      <Panel title={s ? `${s.user} · ${t(`role.${s.role}`)}` : ""}>
        <p>{s && t(`role.${s.role}.text`)}</p>
        <p class="help">{s && t("session.text", { n: Math.round(s.idle_s / 60), time: moment(s.expires) })}</p>
        <div class="actions start">
          <Button id="sign-out" kind="primary" onClick={() => void leave()}>
            {t("sign-out")}
          </Button>
          <Button onClick={() => void leave(true)}>{t("sign-out.everywhere")}</Button>
        </div>
      </Panel>
      <Panel title={t("password.change")}>
        <FormOver doc={doc} errors={errors} set={(p, v) => setDoc((d) => put(d, p, v) as Doc)}>
          <form onSubmit={submit} noValidate>
            {errors.length > 1 && <ErrorSummary />}
            <ProblemNote error={error} />
            <TextField path="old" label={t("password.old")} type="password" autocomplete="current-password" />
            <TextField path="new" label={t("password.new")} help={t("password.help")} type="password" autocomplete="new-password" />
            <TextField path="again" label={t("password.again")} type="password" autocomplete="new-password" />
            <Button type="submit" kind="primary" busy={busy}>
              {t("password.change")}
            </Button>
          </form>
        </FormOver>
      </Panel>
    </>
  );
}
