// What the box says each second, and the proof that it still says it. A number
// that is not fresh is never shown as if it were: after three seconds without
// an event the page says so.
import { get, Problem, session, signedOut } from "./api";
import { Store } from "./store";
import type { Condition, Overview, PathStatus } from "./types";

/** Seconds of the small plots beside the numbers. */
export const traceLength = 90;

export interface Trace {
  bitrate: (number | null)[];
  loss: (number | null)[];
  lost: { at: number; total: number }[]; // packets that were released as missing
}

export interface Live {
  overview: Overview | null;
  at: number; // performance.now() of the last event
  stale: boolean;
  age: number; // whole seconds since the last event, while stale
  traces: Map<string, Trace>;
}

const nothing: Live = { overview: null, at: 0, stale: false, age: 0, traces: new Map() };
export const live = new Store<Live>(nothing);

export const staleAfter = 3_000;
const giveUpAfter = 6_000; // without an event: the connection may be half dead

let source: EventSource | null = null;
let opened = 0;
let retry = 500;
let timer: ReturnType<typeof setInterval> | undefined;
let again: ReturnType<typeof setTimeout> | undefined;

function keep<T>(list: T[], v: T): T[] {
  const next = list.length >= traceLength ? list.slice(1) : [...list];
  next.push(v);
  return next;
}

function trace(old: Trace | undefined, p: PathStatus, now: number): Trace {
  const up = p.state === "up";
  // A path that is down, or whose gateway is silent, keeps its last report.
  const report = p.arrival;
  const total = up && report && report.age_ms <= staleAfter ? report.merged.lost_total : undefined;
  let lost = (old?.lost ?? []).filter((x) => now - x.at <= traceLength * 1000);
  if (total !== undefined) {
    // A gateway that started again counts from zero.
    if (lost.length && total < (lost[lost.length - 1]?.total ?? 0)) lost = [];
    lost = [...lost, { at: now, total }];
  }
  return {
    bitrate: keep(old?.bitrate ?? [], up ? p.bitrate_bps : null),
    loss: keep(old?.loss ?? [], up ? p.send_loss_percent : null),
    lost,
  };
}

/** Packets that the path's gateway had to leave out in the time that the
 * trace covers; null if it does not say so any more. */
export function lostOfLate(t: Trace | undefined): number | null {
  const first = t?.lost[0], last = t?.lost[t.lost.length - 1];
  return first && last && live.value.at - last.at <= staleAfter ? last.total - first.total : null;
}

function take(o: Overview): void {
  const now = performance.now();
  const traces = new Map<string, Trace>();
  for (const p of o.box?.paths ?? []) traces.set(p.name, trace(live.value.traces.get(p.name), p, now));
  live.set({ overview: o, at: now, stale: false, age: 0, traces });
}

/** What happened, for those who want to know at once. */
export const happened = new Store<{ kind: string; condition: Condition } | null>(null);

function open(): void {
  close();
  opened = performance.now();
  const s = new EventSource("/api/v1/events", { withCredentials: true });
  source = s;
  s.addEventListener("overview", (e) => {
    retry = 500;
    take(JSON.parse((e as MessageEvent<string>).data) as Overview);
  });
  s.addEventListener("condition", (e) => {
    happened.set(JSON.parse((e as MessageEvent<string>).data) as { kind: string; condition: Condition });
  });
  s.addEventListener("bye", (e) => {
    const { reason } = JSON.parse((e as MessageEvent<string>).data) as { reason: string };
    // The box's own restart ends the stream, not the session.
    if (reason === "restart") later();
    else signedOut(reason === "logout" ? "left" : "expired");
  });
  s.onerror = () => {
    if (source === s) later();
  };
}

function close(): void {
  clearTimeout(again);
  again = undefined;
  source?.close();
  source = null;
}

// The browser's own reconnection gives up on some answers, and a session that
// has ended looks like any other error to it: so it is done here.
function later(): void {
  close();
  again = setTimeout(() => {
    again = undefined;
    get("/session").then(open, (e: unknown) => {
      if (e instanceof Problem && e.status === 401) signedOut("expired");
      else if (session.value.session) later();
    });
  }, retry);
  retry = Math.min(retry * 2, 4_000);
}

function watch(): void {
  const l = live.value;
  const now = performance.now();
  const silent = now - (l.at || opened);
  if (silent >= staleAfter) live.set({ ...l, stale: true, age: Math.floor(silent / 1000) });
  if (source && silent >= giveUpAfter && now - opened >= giveUpAfter) later();
}

export function start(first: Overview | null): void {
  stop();
  if (first) take(first);
  retry = 500;
  open();
  timer = setInterval(watch, 500);
}

export function stop(): void {
  close();
  clearInterval(timer);
  live.set(nothing);
}
