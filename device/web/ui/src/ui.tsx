// The parts that all views are made of.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Problem } from "./api";
import { maybe, t, type Key } from "./i18n";
import { Store, useStore } from "./store";
import type { Severity } from "./types";

// Colours follow IEC 60073 (red: danger, yellow: abnormal, green: normal, blue:
// mandatory, grey: no meaning). None stands alone: each has a shape and a word.
export type Level = Severity | "ok" | "off" | "busy";

const shapes: Record<Level, JSX.Element> = {
  critical: (
    <>
      <path class="fill" d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" />
      <path class="mark" d="M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4" />
    </>
  ),
  major: (
    <>
      <path class="fill" d="M8 1.2 15.4 14.4H.6z" />
      <path class="mark" d="M8 6v4M8 12v.4" />
    </>
  ),
  minor: (
    <>
      <path class="fill" d="M8 .8 15.2 8 8 15.2.8 8z" />
      <path class="mark" d="M8 4.4v4.2M8 11v.4" />
    </>
  ),
  warning: (
    <>
      <path class="line" d="M8 2.2 14.4 13.6H1.6z" />
      <path class="line" d="M8 6.6v3M8 11.6v.3" />
    </>
  ),
  info: (
    <>
      <circle class="fill" cx="8" cy="8" r="7" />
      <path class="mark" d="M8 7.4v4M8 4.6v.4" />
    </>
  ),
  ok: (
    <>
      <circle class="fill" cx="8" cy="8" r="7" />
      <path class="mark" d="m4.8 8.3 2.3 2.3 4.2-4.7" />
    </>
  ),
  off: (
    <>
      <circle class="line" cx="8" cy="8" r="6.2" />
      <path class="line" d="M5.2 8h5.6" />
    </>
  ),
  busy: (
    <>
      <circle class="line dashed" cx="8" cy="8" r="6.2" />
      <path class="line" d="M8 4.8V8l2.2 1.6" />
    </>
  ),
};

export function Shape({ level }: { level: Level }) {
  return (
    <svg class={"shape " + level} viewBox="0 0 16 16" aria-hidden="true">
      {shapes[level]}
    </svg>
  );
}

/** A state: colour, shape and word. */
export function Badge({ level, children }: { level: Level; children?: ComponentChildren }) {
  return (
    <span class={"badge " + level}>
      <Shape level={level} />
      <span>{children ?? t(("level." + level) as Key)}</span>
    </span>
  );
}

export function Panel(p: { title?: ComponentChildren; side?: ComponentChildren; children: ComponentChildren; class?: string; level?: 2 | 3; id?: string }) {
  const id = useId();
  const H = p.level === 3 ? "h3" : "h2";
  return (
    <section class={"panel " + (p.class ?? "")} aria-labelledby={p.title ? id : undefined} id={p.id}>
      {p.title && (
        <header class="panel-head">
          <H id={id}>{p.title}</H>
          {p.side && <div class="panel-side">{p.side}</div>}
        </header>
      )}
      <div class="panel-body">{p.children}</div>
    </section>
  );
}

export function Value({ value, unit, label, note, level }: { value: ComponentChildren; unit?: string; label: ComponentChildren; note?: ComponentChildren; level?: Level }) {
  return (
    <div class={"value " + (level ?? "")}>
      <dt>{label}</dt>
      <dd>
        <span class="number">{value}</span>
        {unit && value !== "–" && <span class="unit"> {unit}</span>}
        {note && <span class="note">{note}</span>}
      </dd>
    </div>
  );
}

type ButtonProps = {
  kind?: "primary" | "plain" | "danger" | "quiet";
  busy?: boolean;
  disabled?: boolean;
  onClick?: () => void;
  type?: "button" | "submit";
  children: ComponentChildren;
  label?: string;
  pressed?: boolean;
  id?: string;
};

export function Button(p: ButtonProps) {
  return (
    <button id={p.id} type={p.type ?? "button"} class={"button " + (p.kind ?? "plain")} disabled={p.disabled} aria-busy={p.busy || undefined}
      aria-disabled={p.busy || undefined} aria-label={p.label} aria-pressed={p.pressed} onClick={p.busy ? (e: Event) => e.preventDefault() : p.onClick}>
      {p.children}
    </button>
  );
}

/** A box of words about one thing: what is the case, and what to do. */
export function Note({ level = "info", title, children, alert, lang }: { level?: Level; title?: ComponentChildren; children?: ComponentChildren; alert?: boolean; lang?: string }) {
  return (
    <div class={"note-box " + level} role={alert ? "alert" : undefined}>
      <Shape level={level} />
      <div lang={lang}>
        {title && <p class="note-title">{title}</p>}
        {children}
      </div>
    </div>
  );
}

/** What went wrong with a request, in words. */
export function problemText(e: unknown): { title: string; detail: string } {
  if (!(e instanceof Problem)) return { title: t("problem.page"), detail: String(e instanceof Error ? e.message : e) };
  if (e.status === 0) return { title: t("problem.no-answer"), detail: t("problem.no-answer.remedy") };
  if (e.status === 429) return { title: t("problem.slow"), detail: t("problem.slow.remedy", { n: e.retryAfter || 60 }) };
  if (e.status === 403) return { title: t("problem.forbidden"), detail: e.detail };
  if (e.status === 501) return { title: t("problem.not-here"), detail: e.detail };
  const detail = [e.detail, ...e.errors.filter((i) => !i.path).map((i) => [i.problem, i.remedy].filter(Boolean).join("; "))].filter(Boolean).join(" ");
  return { title: maybe("problem." + e.status, e.title), detail };
}

export function ProblemNote({ error }: { error: unknown }) {
  if (!error) return null;
  const { title, detail } = problemText(error);
  return (
    <Note level="critical" title={title} alert>
      {detail && <p>{detail}</p>}
    </Note>
  );
}

/** A question or a task in front of the page. The browser keeps the focus in
 * it, Escape closes it, and the focus goes back to where it was. */
export function Dialog({ title, onClose, children, wide }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const d = ref.current;
    const before = document.activeElement as HTMLElement | null;
    if (d && !d.open) d.showModal();
    return () => {
      d?.close();
      before?.focus?.();
    };
  }, []);
  return (
    <dialog ref={ref} class={wide ? "wide" : ""} aria-labelledby={id}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

/** Asks before what cannot be undone. With word, it has to be typed. */
export function Confirm(p: { title: string; children: ComponentChildren; action: string; danger?: boolean; word?: string; wordLabel?: string; run: () => Promise<unknown>; onClose: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [typed, setTyped] = useState("");
  const id = useId();
  const go = async (e: Event) => {
    e.preventDefault();
    e.stopPropagation(); // or a form around it would be sent as well
    if (busy || (p.word !== undefined && typed.trim() !== p.word)) return;
    setBusy(true);
    setError(null);
    try {
      await p.run();
      p.onClose();
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  return (
    <Dialog title={p.title} onClose={p.onClose}>
      <form onSubmit={go}>
        {p.children}
        {p.word !== undefined && (
          <div class="field">
            <label for={id}>{p.wordLabel}</label>
            <input id={id} value={typed} autocomplete="off" spellcheck={false} onInput={(e) => setTyped(e.currentTarget.value)} />
          </div>
        )}
        <ProblemNote error={error} />
        <div class="actions">
          <Button onClick={p.onClose}>{t("cancel")}</Button>
          <Button type="submit" kind={p.danger ? "danger" : "primary"} busy={busy} disabled={p.word !== undefined && typed.trim() !== p.word}>
            {p.action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

interface Said {
  text: string;
  level: Level;
  n: number;
}

const said = new Store<Said | null>(null);
let count = 0;

/** Says shortly that something was done; a screen reader reads it out. */
export function say(text: string, level: Level = "ok"): void {
  said.set({ text, level, n: ++count });
}

export function Sayings() {
  const s = useStore(said);
  useEffect(() => {
    if (!s) return;
    const timer = setTimeout(() => said.set(null), 6000);
    return () => clearTimeout(timer);
  }, [s?.n]);
  return (
    <div class="sayings" role="status">
      {s && (
        <div class={"saying " + s.level} key={s.n}>
          <Shape level={s.level} />
          {s.text}
        </div>
      )}
    </div>
  );
}

/** What is fetched when a view opens. */
export function useFetch<T>(f: () => Promise<T>, deps: unknown[] = []): { data: T | null; error: unknown; reload: () => void; busy: boolean } {
  const [s, set] = useState<{ data: T | null; error: unknown; busy: boolean }>({ data: null, error: null, busy: true });
  const [n, setN] = useState(0);
  useEffect(() => {
    let on = true;
    set((old) => ({ ...old, busy: true }));
    f().then(
      (data) => on && set({ data, error: null, busy: false }),
      (error: unknown) => on && set((old) => ({ ...old, error, busy: false })),
    );
    return () => {
      on = false;
    };
  }, [...deps, n]);
  return { ...s, reload: () => setN((x) => x + 1) };
}

export function Loading({ error }: { error?: unknown }) {
  return error ? <ProblemNote error={error} /> : <p class="loading">{t("loading")}</p>;
}

/** Scrolls sideways by itself where it must; can be reached by keyboard then. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="scroll" role="group" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

export function Spark({ values, max, label }: { values: (number | null)[]; max?: number; label: string }) {
  const w = 90, h = 22;
  const top = max ?? Math.max(1, ...values.map((v) => v ?? 0)) * 1.1;
  let d = "", pen = false;
  values.forEach((v, i) => {
    if (v === null) {
      pen = false;
      return;
    }
    const x = w - values.length + i, y = h - 1 - (Math.min(v, top) / top) * (h - 3);
    d += `${pen ? "L" : "M"}${x} ${y.toFixed(1)}`;
    pen = true;
  });
  return (
    <svg class="spark" viewBox={`0 0 ${w} ${h}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <path d={`M0 ${h - 0.5}H${w}`} class="axis" />
      <path d={d} class="trace" />
    </svg>
  );
}
