// Forms over the box's configuration. A view works on a draft of the whole
// document; limits and defaults of a field come from the schema that the box
// serves; every error that the box returns appears at the field it names.
import { createContext, type ComponentChildren } from "preact";
import { useContext, useEffect, useId, useRef, useState } from "preact/hooks";
import { call, get, Problem, session } from "./api";
import { at, differences, field, kept, merge, put, readNumber, same, type Merge, type Schema } from "./doc";
import { moment } from "./format";
import { maybe, t } from "./i18n";
import { live } from "./live";
import { Store, useStore } from "./store";
import type { CheckAnswer, ConfigAnswer, Doc, Issue, Json, Plan, Role, SaveAnswer } from "./types";
import { Button, Dialog, Note, ProblemNote, Loading, say } from "./ui";

const ranks: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

export function may(role: Role): boolean {
  const s = session.value.session;
  return !!s && ranks[s.role] >= ranks[role];
}

export function NeedsRole({ role }: { role: Role }) {
  if (may(role)) return null;
  return <Note level="info">{<p>{t("role.needs", { role: t(`role.${role}`) })}</p>}</Note>;
}

interface Form {
  doc: Doc;
  schema: Schema | null;
  errors: Issue[];
  warnings: Issue[];
  disabled: boolean;
  set: (path: string, v: Json | undefined) => void;
  shown: Map<string, string>; // field path → id of its control
}

const Context = createContext<Form | null>(null);

export function useForm(): Form {
  const f = useContext(Context);
  if (!f) throw new Error("a field outside of a form");
  return f;
}

/** Any set of fields over any document: for what is not the configuration. */
export function FormOver(p: { doc: Doc; schema?: Schema | null; errors: Issue[]; warnings?: Issue[]; disabled?: boolean; set: (path: string, v: Json | undefined) => void; children: ComponentChildren }) {
  const shown = useRef(new Map<string, string>());
  const form: Form = { doc: p.doc, schema: p.schema ?? null, errors: p.errors, warnings: p.warnings ?? [], disabled: !!p.disabled, set: p.set, shown: shown.current };
  return <Context.Provider value={form}>{p.children}</Context.Provider>;
}

/** All errors, each with a way to its field; those of no field are said here. */
export function ErrorSummary() {
  const form = useForm();
  const ref = useRef<HTMLDivElement>(null);
  const errors = form.errors;
  useEffect(() => {
    if (errors.length) ref.current?.focus();
  }, [errors]);
  if (!errors.length) return null;
  return (
    <div ref={ref} class="note-box critical" tabIndex={-1} role="alert">
      <div>
        <p class="note-title">{t("form.errors", { n: errors.length })}</p>
        <ul>
          {errors.map((e) => {
            const id = form.shown.get(e.path);
            return (
              <li key={e.path + e.problem}>
                {id ? (
                  <a href={"#" + id}
                    onClick={(ev) => {
                      ev.preventDefault();
                      reveal(id);
                    }}>
                    {e.path}
                  </a>
                ) : (
                  e.path && <code>{e.path}</code>
                )}{" "}
                {issueText(e)}
              </li>
            );
          })}
        </ul>
      </div>
    </div>
  );
}

function reveal(id: string): void {
  const el = document.getElementById(id);
  for (let d = el?.closest("details"); d; d = d.parentElement?.closest("details") ?? null) d.open = true;
  el?.focus();
}

export function issueText(e: Issue): string {
  return [e.value && !e.problem.includes(e.value) ? e.value : "", e.problem].filter(Boolean).join(" ") + (e.remedy ? "; " + e.remedy : "");
}

const belongs = (path: string, error: string) => error === path || error.startsWith(path + ".") || error.startsWith(path + "[");

interface FieldProps {
  path: string;
  label: string;
  help?: string;
  unit?: string;
  width?: "short" | "long";
}

interface Control {
  id: string;
  described: string | undefined;
  invalid: boolean;
  disabled: boolean;
}

function Frame(p: FieldProps & { whole?: boolean; check?: boolean; optional?: string; children: (c: Control) => ComponentChildren }) {
  const form = useForm();
  const id = useId();
  form.shown.set(p.path, id);
  useEffect(() => () => void form.shown.delete(p.path), [p.path]);
  const hit = (i: Issue) => (p.whole ? belongs(p.path, i.path) : i.path === p.path);
  const errors = form.errors.filter(hit), warnings = form.warnings.filter(hit);
  const described = [p.help && id + "h", errors.length && id + "e", warnings.length && id + "w"].filter(Boolean).join(" ") || undefined;
  const label = <label for={id}>{p.label}</label>;
  const body = p.children({ id, described, invalid: errors.length > 0, disabled: form.disabled });
  return (
    <div class={"field " + (p.width ?? "") + (p.check ? " check" : "") + (errors.length ? " bad" : "")}>
      {p.check ? (
        <div class="check-row">
          {body}
          {label}
        </div>
      ) : (
        <>
          {label}
          <div class="control">
            {body}
            {p.unit && <span class="unit">{p.unit}</span>}
          </div>
        </>
      )}
      {errors.map((e) => (
        <p class="error" id={id + "e"} key={e.problem} lang="en">
          {issueText(e)}
        </p>
      ))}
      {warnings.map((e) => (
        <p class="warn" id={id + "w"} key={e.problem} lang="en">
          {issueText(e)}
        </p>
      ))}
      {p.help && (
        <p class="help" id={id + "h"}>
          {p.help}
        </p>
      )}
    </div>
  );
}

export function TextField(p: FieldProps & { mono?: boolean; placeholder?: string; required?: boolean; autocomplete?: string; type?: string; list?: string[] }) {
  const form = useForm();
  const v = at(form.doc, p.path);
  const f = field(form.schema, p.path);
  const list = useId();
  return (
    <Frame {...p}>
      {(c) => (
        <>
          <input id={c.id} aria-describedby={c.described} aria-invalid={c.invalid || undefined} disabled={c.disabled} class={p.mono ? "mono" : ""}
            type={p.type ?? "text"} autocomplete={p.autocomplete ?? "off"} autocapitalize="off" spellcheck={false} required={p.required}
            placeholder={p.placeholder ?? (f?.default !== undefined ? String(f.default) : "")} list={p.list?.length ? list : undefined}
            value={v === undefined || v === null ? "" : String(v)}
            onInput={(e) => form.set(p.path, e.currentTarget.value === "" ? undefined : e.currentTarget.value)} />
          {!!p.list?.length && (
            <datalist id={list}>
              {p.list.map((o) => (
                <option value={o} key={o} />
              ))}
            </datalist>
          )}
        </>
      )}
    </Frame>
  );
}

export function NumberField(p: FieldProps & { fallback?: string }) {
  const form = useForm();
  const v = at(form.doc, p.path) ?? undefined;
  // The text is kept as long as it means the value: "0.0" is on its way to 0.05.
  const [text, setText] = useState("");
  const f = field(form.schema, p.path);
  const range = f?.minimum !== undefined && f.maximum !== undefined ? `${f.minimum} … ${f.maximum}` : "";
  return (
    <Frame {...p} width={p.width ?? "short"}>
      {(c) => (
        <input id={c.id} aria-describedby={c.described} aria-invalid={c.invalid || undefined} disabled={c.disabled} inputMode={(f?.minimum ?? 0) < 0 ? "text" : "decimal"}
          autocomplete="off" title={range} placeholder={p.fallback ?? (f?.default !== undefined ? String(f.default) : "")}
          value={readNumber(text) === v ? text : v === undefined ? "" : String(v)}
          onInput={(e) => {
            setText(e.currentTarget.value);
            form.set(p.path, readNumber(e.currentTarget.value));
          }} />
      )}
    </Frame>
  );
}

export function SelectField(p: FieldProps & { options?: [string, string][]; absent?: string; numeric?: boolean }) {
  const form = useForm();
  const v = at(form.doc, p.path);
  const f = field(form.schema, p.path);
  const numeric = p.numeric ?? f?.type === "integer";
  const options = p.options ?? (f?.enum ?? []).map((e): [string, string] => [String(e), String(e)]);
  const def = f?.default !== undefined ? String(f.default) : undefined;
  const current = v === undefined || v === null ? (p.absent !== undefined ? "" : (def ?? "")) : String(v);
  return (
    <Frame {...p}>
      {(c) => (
        <select id={c.id} aria-describedby={c.described} aria-invalid={c.invalid || undefined} disabled={c.disabled} value={current}
          onChange={(e) => {
            const s = e.currentTarget.value;
            form.set(p.path, s === "" ? undefined : numeric ? Number(s) : s);
          }}>
          {p.absent !== undefined && <option value="">{p.absent}</option>}
          {!options.some(([o]) => o === current) && current !== "" && <option value={current}>{current}</option>}
          {options.map(([o, text]) => (
            <option value={o} key={o}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Frame>
  );
}

export function CheckField(p: FieldProps & { fallback?: boolean }) {
  const form = useForm();
  const v = at(form.doc, p.path);
  const f = field(form.schema, p.path);
  return (
    <Frame {...p} check>
      {(c) => (
        <input id={c.id} type="checkbox" aria-describedby={c.described} disabled={c.disabled} checked={v === undefined || v === null ? (p.fallback ?? f?.default === true) : v === true}
          onChange={(e) => form.set(p.path, e.currentTarget.checked)} />
      )}
    </Frame>
  );
}

/** A secret: what is set is never shown, only kept, replaced or removed. */
export function SecretField(p: FieldProps & { autocomplete?: string }) {
  const form = useForm();
  const v = at(form.doc, p.path);
  const before = useRef(v === kept);
  if (v === kept) before.current = true;
  return (
    <Frame {...p}>
      {(c) => (
        <>
          <input id={c.id} aria-describedby={c.described} aria-invalid={c.invalid || undefined} disabled={c.disabled} type="password" class="mono"
            autocomplete={p.autocomplete ?? "new-password"} placeholder={v === kept ? t("secret.set") : t("secret.none")}
            value={v === kept || v === undefined || v === null ? "" : String(v)}
            onInput={(e) => form.set(p.path, e.currentTarget.value === "" ? (before.current ? kept : undefined) : e.currentTarget.value)} />
          {before.current && !c.disabled && (
            <button type="button" class="button quiet" onClick={() => form.set(p.path, v === kept ? undefined : kept)}>
              {v === kept ? t("secret.remove") : t("secret.keep")}
            </button>
          )}
        </>
      )}
    </Frame>
  );
}

export function TextArea(p: FieldProps & { rows?: number; placeholder?: string; mono?: boolean }) {
  const form = useForm();
  const v = at(form.doc, p.path);
  return (
    <Frame {...p} width={p.width ?? "long"}>
      {(c) => (
        <textarea id={c.id} rows={p.rows ?? 3} class={p.mono ? "mono" : ""} aria-describedby={c.described} aria-invalid={c.invalid || undefined} disabled={c.disabled}
          placeholder={p.placeholder} spellcheck={false} value={v === undefined || v === null ? "" : String(v)}
          onInput={(e) => form.set(p.path, e.currentTarget.value === "" ? undefined : e.currentTarget.value)} />
      )}
    </Frame>
  );
}

/** A list of numbers. What is none goes to the box, which says so. */
export const NumberListField = (p: FieldProps) => <ListField {...p} read={(w) => (/^\d+$/.test(w) ? Number(w) : w)} />;

/** A list of words, with commas or lines between them; with rows, lines alone. */
export function ListField(p: FieldProps & { placeholder?: string; lines?: boolean; rows?: boolean; read?: (word: string) => Json }) {
  const form = useForm();
  const v = at(form.doc, p.path);
  const value = Array.isArray(v) ? v.map(String) : [];
  const [text, setText] = useState(value.join(p.lines ? "\n" : ", "));
  const split = (s: string) => s.split(p.rows ? /\n/ : /[,\n]/).map((w) => w.trim()).filter(Boolean);
  useEffect(() => {
    if (!same(split(text), value)) setText(value.join(p.lines ? "\n" : ", "));
  }, [JSON.stringify(value)]);
  return (
    <Frame {...p} whole width={p.width ?? "long"}>
      {(c) => {
        const props = {
          id: c.id, "aria-describedby": c.described, "aria-invalid": c.invalid || undefined, disabled: c.disabled, class: "mono", placeholder: p.placeholder,
          spellcheck: false, value: text,
          onInput: (e: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) => {
            setText(e.currentTarget.value);
            form.set(p.path, split(e.currentTarget.value).map(p.read ?? ((w) => w)));
          },
        };
        return p.lines ? <textarea rows={3} {...props} /> : <input autocomplete="off" {...props} />;
      }}
    </Frame>
  );
}

/** Fields that few need. It opens by itself when one of them has an error. */
export function More({ title, paths, children }: { title: string; paths?: string[]; children: ComponentChildren }) {
  const form = useForm();
  const hit = form.errors.some((e) => paths?.some((p) => belongs(p, e.path)));
  const details = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    // It stays open when the error is mended: somebody writes in it.
    if (hit && details.current) details.current.open = true;
  }, [hit]);
  return (
    <details class="more" ref={details}>
      <summary>{title}</summary>
      <div class="more-body">{children}</div>
    </details>
  );
}

/** Fields as the schema lists them, for experts: its own words, in English. */
export function SchemaFields({ path, skip = [] }: { path: string; skip?: string[] }) {
  const form = useForm();
  const f = field(form.schema, path);
  return (
    <div class="fields" lang="en">
      {Object.keys(f?.properties ?? {}).filter((k) => !skip.includes(k)).map((k) => {
        const at = path + "." + k;
        const g = field(form.schema, at);
        if (!g || g.properties || g.items) return null;
        const p = { path: at, label: k, help: g.description, key: at };
        if (g.writeOnly) return <SecretField {...p} />;
        if (g.type === "boolean") return <CheckField {...p} />;
        if (g.enum) return <SelectField {...p} absent={g.default === undefined ? "–" : undefined} />;
        if (g.type === "integer" || g.type === "number") return <NumberField {...p} />;
        return <TextField {...p} />;
      })}
    </div>
  );
}

// The configuration: one copy for all views, with its revision.

export const schema = new Store<Schema | null>(null);
export const config = new Store<{ revision: string; document: Doc; warnings: Issue[] } | null>(null);

export async function loadConfig(): Promise<void> {
  const [a] = await Promise.all([
    call<ConfigAnswer>("GET", "/config"),
    schema.value ? null : get<Schema>("/config/schema").then((s) => schema.set(s)),
  ]);
  config.set({ revision: a.data.revision || a.etag, document: a.data.document, warnings: a.data.warnings ?? [] });
}

/** If-Match wants the entity tag as it was sent, quotes and all. */
export const tag = (revision: string) => (/^(W\/)?"/.test(revision) ? revision : `"${revision}"`);

export interface Draft {
  doc: Doc;
  dirty: boolean;
  plan: Plan | null;
  set: (path: string, v: Json | undefined) => void;
  replace: (doc: Doc) => void;
  save: (restarting?: boolean) => Promise<boolean>;
}

interface Conflict extends Merge {
  revision: string;
  their: Doc;
  who: string;
}

/** What was typed and not saved when its view was left. */
let left: Left | null = null;

interface Left {
  base: { revision: string; doc: Doc };
  doc: Doc;
}

/** A draft of the configuration with everything around it: loading, checking
 * while one types, saving, errors, and what to do when somebody else saved
 * first. */
export function ConfigForm({ children, title }: { children: (d: Draft) => ComponentChildren; title: ComponentChildren }) {
  const cfg = useStore(config);
  const sch = useStore(schema);
  const overview = useStore(live).overview;
  const [failed, setFailed] = useState<unknown>(null);
  // A draft outlives its view: whoever looks something up comes back to it.
  const [base, setBase] = useState<{ revision: string; doc: Doc } | null>(left?.base ?? null);
  const [doc, setDoc] = useState<Doc | null>(left?.doc ?? null);
  const [errors, setErrors] = useState<Issue[]>([]);
  const [saving, setSaving] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const [check, setCheck] = useState<CheckAnswer | null>(null);
  const [conflict, setConflict] = useState<Conflict | null>(null);
  const [restart, setRestart] = useState<string[] | null>(null);
  const admin = may("admin");

  useEffect(() => {
    loadConfig().catch(setFailed);
  }, []);
  const dirty = !!base && !!doc && !same(base.doc, doc);
  const mine = useRef<Left | null>(null);
  mine.current = dirty ? { base, doc } : null;
  useEffect(() => () => {
    left = session.value.session ? mine.current : null;
  }, []);
  useEffect(() => {
    // A draft that is not touched follows the box.
    if (cfg && (!base || (!dirty && cfg.revision !== base.revision))) {
      setBase({ revision: cfg.revision, doc: cfg.document });
      setDoc(cfg.document);
    }
  }, [cfg]);
  const revision = overview?.config_revision;
  const elsewhere = !!base && !!revision && tag(revision) !== tag(base.revision);
  useEffect(() => {
    if (elsewhere && !dirty && !saving) loadConfig().catch(() => undefined);
  }, [elsewhere, dirty]);
  // The answer to "would this do?" comes while one types.
  useEffect(() => {
    if (!doc || !may("operator")) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      call<CheckAnswer>("POST", "/config/check", doc, { signal: stop.signal }).then(
        (a) => setCheck(a.data),
        () => undefined,
      );
    }, dirty ? 500 : 50);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [doc]);
  useEffect(() => {
    if (!dirty) return;
    const ask = (e: BeforeUnloadEvent) => e.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [dirty]);

  if (!base || !doc) return <Loading error={failed} />;

  const touched = differences(base.doc, doc).map((d) => d.path);
  // While one types, only what one has touched is complained about.
  const typing = (check?.errors ?? []).filter((e) => touched.some((p) => belongs(p, e.path) || belongs(e.path, p)));
  const all = errors.length ? errors : dirty ? typing : [];

  const save = async (restarting = false): Promise<boolean> => {
    if (saving) return false;
    setSaving(true);
    setProblem(null);
    try {
      const a = await call<SaveAnswer>("PUT", "/config" + (restarting ? "?restart=true" : ""), doc, { ifMatch: tag(base.revision) });
      setErrors([]);
      const now = await call<ConfigAnswer>("GET", "/config");
      setBase({ revision: now.data.revision, doc: now.data.document });
      // What was typed while it was saved stays a draft.
      setDoc((d) => (d && d !== doc ? merge(doc, d, now.data.document).merged : now.data.document));
      config.set({ revision: now.data.revision, document: now.data.document, warnings: now.data.warnings ?? [] });
      const changed = a.data.changed ?? [];
      if (a.data.note) say(a.data.note, "info");
      else say(changed.length ? t("form.saved.changed", { what: changed.join(", ") }) : t("form.saved"));
      return true;
    } catch (e) {
      if (e instanceof Problem && e.status === 412) {
        try {
          const now = await call<ConfigAnswer>("GET", "/config");
          const by = e.body["changed_by"], when = e.body["changed_at"];
          setConflict({ ...merge(base.doc, doc, now.data.document), revision: now.data.revision, their: now.data.document,
            who: typeof by === "string" && by ? t("conflict.who", { who: by, time: typeof when === "string" ? moment(when) : "–" }) : e.detail });
        } catch (e2) {
          setProblem(e2);
        }
      } else if (e instanceof Problem && e.status === 409 && Array.isArray(e.body["needs_restart"])) {
        setRestart((e.body["needs_restart"] as unknown[]).map(String));
      } else if (e instanceof Problem && e.errors.length) {
        setErrors(e.errors);
      } else {
        setProblem(e);
      }
      return false;
    } finally {
      setSaving(false);
    }
  };
  const draft: Draft = {
    doc,
    dirty,
    plan: check?.plan ?? null,
    set: (path, v) => {
      setErrors([]);
      setDoc((d) => put(d ?? {}, path, v) as Doc);
    },
    replace: (d) => {
      setErrors([]);
      setDoc(d);
    },
    save,
  };
  return (
    <FormOver doc={doc} schema={sch} errors={all} warnings={check?.warnings ?? cfg?.warnings ?? []} disabled={!admin} set={draft.set}>
      <form class="config" noValidate
        onSubmit={(e) => {
          e.preventDefault();
          void save();
        }}>
        <div class="view-head">
          {title}
          <NeedsRole role="admin" />
        </div>
        {elsewhere && dirty && (
          <Note level="warning" title={t("conflict.early")}>
            <p>{t("conflict.early.text")}</p>
          </Note>
        )}
        {errors.length > 0 && <ErrorSummary />}
        <ProblemNote error={problem} />
        {children(draft)}
        {admin && (
          <div class={"save-bar" + (dirty ? " dirty" : "")}>
            <p aria-live="polite">{dirty ? t("form.dirty", { n: touched.length }) : t("form.clean")}</p>
            <div class="actions">
              <Button disabled={!dirty} onClick={() => draft.replace(base.doc)}>
                {t("form.discard")}
              </Button>
              <Button type="submit" kind="primary" busy={saving} disabled={!dirty}>
                {t("form.save")}
              </Button>
            </div>
          </div>
        )}
      </form>
      {restart && (
        <Dialog title={t("restart.title")} onClose={() => setRestart(null)}>
          <p>{t("restart.text")}</p>
          <ul>
            {restart.map((f) => (
              <li key={f}>
                <code>{f}</code>
              </li>
            ))}
          </ul>
          <div class="actions">
            <Button onClick={() => setRestart(null)}>{t("cancel")}</Button>
            <Button kind="danger"
              onClick={() => {
                setRestart(null);
                void save(true);
              }}>
              {t("restart.save")}
            </Button>
          </div>
        </Dialog>
      )}
      {conflict && (
        <Dialog title={t("conflict.title")} wide onClose={() => setConflict(null)}>
          <p>{t("conflict.text")}</p>
          {conflict.who && <p class="quiet-text">{conflict.who}</p>}
          <h3>{t("conflict.theirs")}</h3>
          <Differences list={conflict.theirs} />
          <h3>{t("conflict.mine")}</h3>
          <Differences list={conflict.mine} clashes={conflict.clashes} />
          {conflict.clashes.length > 0 && <Note level="warning">{<p>{t("conflict.clash", { n: conflict.clashes.length })}</p>}</Note>}
          <div class="actions">
            <Button onClick={() => setConflict(null)}>{t("cancel")}</Button>
            <Button
              onClick={() => {
                setBase({ revision: conflict.revision, doc: conflict.their });
                setDoc(conflict.their);
                setConflict(null);
              }}>
              {t("conflict.take-theirs")}
            </Button>
            <Button kind="primary"
              onClick={() => {
                setBase({ revision: conflict.revision, doc: conflict.their });
                setDoc(conflict.merged);
                setConflict(null);
                say(t("conflict.merged"), "info");
              }}>
              {t("conflict.put-mine")}
            </Button>
          </div>
        </Dialog>
      )}
    </FormOver>
  );
}

function show(v: Json | undefined): string {
  if (v === undefined) return t("absent");
  if (Array.isArray(v)) return v.map((e) => (e && typeof e === "object" && !Array.isArray(e) && e["name"] ? String(e["name"]) : show(e))).join(", ");
  if (v && typeof v === "object") return JSON.stringify(v);
  return v === kept ? t("secret.set") : String(v);
}

export function Differences({ list, clashes = [] }: { list: { path: string; from: Json | undefined; to: Json | undefined }[]; clashes?: string[] }) {
  if (!list.length) return <p class="quiet-text">{t("conflict.nothing")}</p>;
  return (
    <ul class="differences">
      {list.map((d) => (
        <li key={d.path} class={clashes.includes(d.path) ? "clash" : ""}>
          <code>{d.path}</code> <span class="from">{show(d.from)}</span> <span aria-hidden="true">→</span>
          <span class="visually-hidden"> {t("conflict.becomes")} </span> <span class="to">{show(d.to)}</span>
        </li>
      ))}
    </ul>
  );
}

/** Words of an enumerated field, where the page has its own. */
export const choices = (prefix: string, list: string[]): [string, string][] => list.map((o) => [o, maybe(prefix + "." + o, o)]);
