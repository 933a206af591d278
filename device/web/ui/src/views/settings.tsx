// Settings of the management plane, in the view that they belong to: loading,
// saving with If-Match, errors at their fields.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { call, Problem } from "../api";
import { merge, put, same } from "../doc";
import { ErrorSummary, FormOver, may, tag } from "../form";
import { t } from "../i18n";
import type { Doc, Issue, SettingsAnswer } from "../types";
import { Button, Loading, Panel, ProblemNote, say } from "../ui";

export function SettingsForm({ title, children }: { title: string; children: ComponentChildren }) {
  const [base, setBase] = useState<{ revision: string; settings: Doc } | null>(null);
  const [doc, setDoc] = useState<Doc>({});
  const [failed, setFailed] = useState<unknown>(null);
  const [errors, setErrors] = useState<Issue[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const load = () =>
    call<SettingsAnswer>("GET", "/settings").then((a) => {
      setBase({ revision: a.data.revision || a.etag, settings: a.data.settings });
      setDoc(a.data.settings);
    }, setFailed);
  useEffect(() => void load(), []);
  if (!base) return <Loading error={failed} />;
  const dirty = !same(base.settings, doc);
  const save = async (e: Event) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setErrors([]);
    setError(null);
    try {
      await call("PUT", "/settings", doc, { ifMatch: tag(base.revision) });
      await load();
      say(t("form.saved"));
    } catch (x) {
      if (x instanceof Problem && x.errors.some((i) => i.path)) setErrors(x.errors);
      else setError(x);
      if (x instanceof Problem && x.status === 412) {
        // Somebody else saved: theirs becomes the base, what was typed here stays.
        await call<SettingsAnswer>("GET", "/settings").then((a) => {
          setBase({ revision: a.data.revision || a.etag, settings: a.data.settings });
          setDoc(merge(base.settings, doc, a.data.settings).merged);
        }, () => undefined);
      }
    } finally {
      setBusy(false);
    }
  };
  return (
    <FormOver doc={doc} errors={errors} disabled={!may("admin")} set={(p, v) => { setErrors([]); setDoc((d) => put(d, p, v) as Doc); }}>
      <Panel title={title}>
        <form onSubmit={save} noValidate>
          {errors.length > 0 && <ErrorSummary />}
          <ProblemNote error={error} />
          {children}
          {may("admin") && (
            <div class="actions start">
              <Button type="submit" kind="primary" busy={busy} disabled={!dirty}>
                {t("form.save")}
              </Button>
            </div>
          )}
        </form>
      </Panel>
    </FormOver>
  );
}
