// The frame around the views: who is signed in, where one is, what the box's
// state is, and whether what is shown is fresh.
import type { ComponentType, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { call, get, Problem, session, signedOut } from "./api";
import { may } from "./form";
import { clock } from "./format";
import { languages, setLanguage, t, useLanguage, type Key, type Language } from "./i18n";
import { live, start, stop } from "./live";
import { Store, useStore } from "./store";
import type { Overview, Role, Session, State } from "./types";
import { Badge, Button, Dialog, Loading, Note, problemText, say, Sayings, Shape, type Level } from "./ui";
import { Claim, Login } from "./views/entry";
import LiveView from "./views/live";

export const box = new Store<{ state: State | null; failed: boolean }>({ state: null, failed: false });

interface Route {
  id: string;
  group: "air" | "box" | "people" | "care";
  role?: Role;
  icon: string; // path data of a 20 × 20 drawing
  view: () => Promise<{ default: ComponentType }>;
}

const routes: Route[] = [
  { id: "live", group: "air", icon: "M2 10h4l2-5 4 10 2-5h4", view: async () => ({ default: LiveView }) },
  { id: "input", group: "air", icon: "M3 5h14v10H3zM8 8v4l4-2z", view: () => import("./views/input") },
  { id: "destinations", group: "air", icon: "M3 10h4m0 0c4 0 2-6 10-6M7 10h10M7 10c4 0 2 6 10 6", view: () => import("./views/destinations") },
  { id: "history", group: "air", icon: "M3 3v14h14M6 13l3-4 3 2 4-6", view: () => import("./views/history") },
  { id: "network", group: "box", icon: "M10 3v5m0 0H4v4m6-4h6v4M2 12h4v4H2zm12 0h4v4h-4zM8 3h4", view: () => import("./views/network") },
  { id: "telemetry", group: "box", icon: "M10 12v5m-3 0h6M6.5 10.5a5 5 0 1 1 7 0M4 13a8 8 0 1 1 12 0", view: () => import("./views/telemetry") },
  { id: "identity", group: "box", icon: "M4 3h12v14H4zM10 7.5a1.5 1.5 0 1 1 0 .01M7 14c.5-3 5.500-3 6 0", view: () => import("./views/identity") },
  { id: "update", group: "box", icon: "M10 3v9m-4-4 4 4 4-4M4 16h12", view: () => import("./views/update") },
  { id: "users", group: "people", role: "admin", icon: "M7 6a2.500 2.500 0 1 1 0 .01M3 16c.5-6 7.500-6 8 0M13 5a2 2 0 1 1 0 .01M14 10c2 .5 3 2.500 3 5", view: () => import("./views/users") },
  { id: "audit", group: "people", role: "admin", icon: "M5 3h10v14H5zM8 7h4M8 10h4M8 13h2", view: () => import("./views/audit") },
  { id: "logs", group: "care", role: "operator", icon: "M3 5h14M3 9h10M3 13h14M3 17h8", view: () => import("./views/logs") },
  { id: "maintenance", group: "care", icon: "M13 3a4 4 0 0 0-3 6l-6 6 2 2 6-6a4 4 0 0 0 5-5l-2 2-3-1-1-3z", view: () => import("./views/maintenance") },
  { id: "about", group: "care", icon: "M10 3a7 7 0 1 1 0 14 7 7 0 1 1 0-14M10 9v5M10 6v.5", view: () => import("./views/about") },
  { id: "account", group: "care", icon: "", view: () => import("./views/account") },
];

const groups = ["air", "box", "people", "care"] as const;
const names = (id: string) => t(("nav." + id) as Key);

function where(): string {
  const id = location.hash.replace(/^#\/?/, "").split(/[/?]/)[0] ?? "";
  return routes.some((r) => r.id === id) ? id : "live";
}

function useRoute(): string {
  const [id, set] = useState(where());
  useEffect(() => {
    const moved = () => set(where());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return id;
}

/** Opens a session: what login and claim do when they have one. */
export function enter(s: Session): void {
  session.set({ known: true, session: s, why: "start" });
  const b = box.value.state;
  if (b) box.set({ state: { ...b, claimed: true }, failed: false });
  get<Overview>("/status").then(start, () => start(null));
}

export function App() {
  useLanguage();
  const b = useStore(box);
  const s = useStore(session);
  const signed = !!s.session;
  useEffect(() => {
    if (!signed) stop();
  }, [signed]);
  let body: JSX.Element;
  if (b.failed || !b.state) body = <NoAnswer />;
  else if (signed) body = <Shell />;
  else if (!b.state.claimed) body = <Claim />;
  else body = <Login why={s.why} />;
  return (
    <>
      {body}
      <Sayings />
    </>
  );
}

function NoAnswer() {
  return (
    <main class="entry">
      <div class="entry-card">
        <h1>{t("no-answer.title")}</h1>
        <p>{t("no-answer.text")}</p>
        <Button kind="primary" onClick={() => location.reload()}>
          {t("try-again")}
        </Button>
      </div>
    </main>
  );
}

export function LanguageChoice() {
  const l = useLanguage();
  return (
    <label class="language">
      <span class="visually-hidden">{t("language")}</span>
      <select value={l} onChange={(e) => void setLanguage(e.currentTarget.value as Language, true)}>
        {(Object.keys(languages) as Language[]).map((k) => (
          <option value={k} key={k} lang={k}>
            {languages[k]}
          </option>
        ))}
      </select>
    </label>
  );
}

export function overallLevel(o: Overview | null): Level {
  if (!o) return "busy";
  if (!o.box) return "critical";
  return (o.conditions ?? []).some((c) => c.active && !c.masked) ? o.worst : "ok";
}

function Shell() {
  const id = useRoute();
  const [menu, setMenu] = useState(false);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${names(id)} – ${box.value.state?.name || "Quartet"}`;
    setMenu(false);
    if (first.current) first.current = false;
    else {
      main.current?.focus();
      scrollTo(0, 0);
    }
  }, [id]);
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); main.current?.focus(); }}>
        {t("skip")}
      </a>
      <Top menu={menu} setMenu={setMenu} />
      <nav id="nav" class={"nav" + (menu ? " open" : "")} aria-label={t("nav")}
        onKeyDown={(e) => { if (e.key === "Escape") setMenu(false); }}>
        {groups.map((g) => {
          const list = routes.filter((r) => r.group === g && r.icon && (!r.role || may(r.role)));
          return list.length ? (
            <div class="nav-group" key={g}>
              <p id={"group-" + g}>{t(("group." + g) as Key)}</p>
              <ul aria-labelledby={"group-" + g}>
                {list.map((r) => (
                  <li key={r.id}>
                    <a href={"#/" + r.id} aria-current={r.id === id ? "page" : undefined} onClick={() => setMenu(false)}>
                      <svg viewBox="0 0 20 20" aria-hidden="true">
                        <path d={r.icon} />
                      </svg>
                      {names(r.id)}
                    </a>
                  </li>
                ))}
              </ul>
            </div>
          ) : null;
        })}
      </nav>
      <main id="main" ref={main} tabIndex={-1}>
        <Freshness />
        <Trial />
        <View id={id} key={id} />
      </main>
      <Idle />
    </div>
  );
}

function View({ id }: { id: string }) {
  const [V, setV] = useState<ComponentType | null>(() => (id === "live" ? LiveView : null));
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    routes.find((r) => r.id === id)?.view().then((m) => setV(() => m.default), () => setFailed(true));
  }, [id]);
  if (failed) return <Note level="warning" title={t("view.failed")}>{<Button onClick={() => location.reload()}>{t("reload")}</Button>}</Note>;
  return V ? <V /> : <Loading />;
}

function Top({ menu, setMenu }: { menu: boolean; setMenu: (v: boolean) => void }) {
  const l = useStore(live);
  const s = useStore(session).session;
  const o = l.overview;
  const level = l.stale ? "off" : overallLevel(o);
  return (
    <header class="top">
      <button type="button" class="menu-button" aria-expanded={menu} aria-controls="nav" onClick={() => setMenu(!menu)}>
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d={menu ? "M5 5l10 10M15 5L5 15" : "M3 6h14M3 10h14M3 14h14"} />
        </svg>
        <span>{t("menu")}</span>
      </button>
      <a class="brand" href="#/live">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <path d="M4 16h6M10 16C14 16 13 6 18 6h10M10 16c4 0 4-3.500 8-3.500h10M10 16c4 0 4 3.500 8 3.500h10M10 16c4 0 3 10 8 10h10" />
        </svg>
        <span class="brand-words">
          <strong>{o?.name || box.value.state?.name}</strong>
          <span>Quartet</span>
        </span>
      </a>
      <div class="top-state">
        <Badge level={level}>{l.stale ? t("state.unknown") : t(("overall." + level) as Key)}</Badge>
      </div>
      <div class="top-end">
        <span class="top-clock">
          <span class="number">{l.stale ? "–" : clock(o?.time)}</span> UTC
          {o && !o.network.clock_synchronised && !l.stale && <span class="clock-free"> · {t("clock.free")}</span>}
        </span>
        <LanguageChoice />
        <a class="who" href="#/account">
          <strong>{s?.user}</strong> <span>{s && t(`role.${s.role}`)}</span>
        </a>
      </div>
    </header>
  );
}

/** Says that what is shown is old, as long as it is. */
function Freshness() {
  const l = useStore(live);
  return (
    <div role="status" class="freshness">
      {l.stale && (
        <div class="stale-bar">
          <Shape level="off" />
          <p>
            <strong>{t("stale.title")}</strong> <span aria-hidden="true">{t("stale.for", { n: l.age })}</span> {l.overview && t("stale.from", { time: clock(l.overview.time) })}{" "}
            {t("stale.trying")}
          </p>
        </div>
      )}
    </div>
  );
}

/** A change of the network that waits for somebody to confirm it. */
function Trial() {
  const o = useStore(live).overview;
  const pending = o?.network.pending;
  if (!pending || where() === "network") return null;
  return (
    <Note level="warning" title={t("network.pending")}>
      <p>
        {t("network.pending.left", { n: Math.max(0, Math.round(pending.remaining_s)) })} <a href="#/network">{t("network.pending.go")}</a>
      </p>
    </Note>
  );
}

// The box ends a session that nobody uses. What the page fetches by itself does
// not count as use; a key or a pointer does, and is told at most once a minute.
function Idle() {
  const s = useStore(session).session;
  const [left, setLeft] = useState<number | null>(null);
  const told = useRef(performance.now());
  const idle = (s?.idle_s ?? 900) * 1000;
  const asking = useRef(false); // the dialog is there: only its buttons answer it
  asking.current = left !== null;
  const stay = () => {
    told.current = performance.now();
    setLeft(null);
    get("/settings")
      .then(() => get<Session>("/session"))
      .then(
        // How long it lasts now: a page that was loaded again knew what was left of it.
        (n) => {
          if (session.value.session) session.update({ session: n });
        },
        () => undefined,
      );
  };
  useEffect(() => {
    const active = () => {
      if (asking.current) return;
      const now = performance.now();
      if (now - told.current > Math.min(60_000, idle / 4)) stay();
    };
    const timer = setInterval(() => {
      const rest = (idle - (performance.now() - told.current)) / 1000;
      setLeft(rest < Math.min(60, idle / 3000) ? Math.max(0, Math.round(rest)) : null);
    }, 1000);
    const events = ["pointerdown", "keydown", "wheel", "touchstart"] as const;
    for (const e of events) addEventListener(e, active, { passive: true });
    return () => {
      clearInterval(timer);
      for (const e of events) removeEventListener(e, active);
    };
  }, [idle]);
  if (left === null || !s) return null;
  return (
    <Dialog title={t("idle.title")} onClose={stay}>
      <p aria-live="off">{t("idle.text", { n: left })}</p>
      <div class="actions">
        <Button onClick={() => void leave()}>{t("sign-out")}</Button>
        <Button kind="primary" onClick={stay}>
          {t("idle.stay")}
        </Button>
      </div>
    </Dialog>
  );
}

export async function leave(everywhere = false): Promise<void> {
  try {
    await call("DELETE", "/session" + (everywhere ? "?everywhere=true" : ""));
  } catch (e) {
    if (!(e instanceof Problem && e.status === 401)) {
      // The session lives on at the box: nobody is told otherwise.
      say(problemText(e).title, "critical");
      return;
    }
  }
  signedOut("left");
  location.hash = "";
}
