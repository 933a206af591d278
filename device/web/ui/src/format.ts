// Numbers and times as a person reads them, in the page's language. Times are
// UTC everywhere, as in the logs of every other box and gateway.
import { language } from "./i18n";

const cache = new Map<string, Intl.NumberFormat>();
function number(digits: number): Intl.NumberFormat {
  const key = language.value + digits;
  let f = cache.get(key);
  if (!f) cache.set(key, (f = new Intl.NumberFormat(language.value, { minimumFractionDigits: digits, maximumFractionDigits: digits })));
  return f;
}

/** A number with a fixed count of decimals; a dash if it is not known. */
export function num(x: number | null | undefined, digits = 0): string {
  return x === null || x === undefined || !Number.isFinite(x) ? "–" : number(digits).format(x);
}

export const whole = (x: number | null | undefined) => num(x, 0);

/** Megabits per second from bits per second, with digits that stay put. */
export function mbps(bps: number | null | undefined): string {
  if (bps === null || bps === undefined || !Number.isFinite(bps)) return "–";
  return num(bps / 1e6, bps < 1e8 ? 2 : 1);
}

/** A loss in percent: 0, <0.01, 0.05, 1.2, 12. */
export function loss(percent: number | null | undefined): string {
  if (percent === null || percent === undefined || !Number.isFinite(percent)) return "–";
  if (percent <= 0) return num(0, 0);
  if (percent < 0.01) return "<" + num(0.01, 2);
  return num(percent, percent < 1 ? 2 : percent < 10 ? 1 : 0);
}

export function ms(x: number | null | undefined): string {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  return num(x, Math.abs(x) < 10 ? 1 : 0);
}

export function bytes(x: number | null | undefined): [string, string] {
  if (x === null || x === undefined || !Number.isFinite(x)) return ["–", ""];
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  while (x >= 1000 && i < units.length - 1) {
    x /= 1000;
    i++;
  }
  return [num(x, i === 0 || x >= 100 ? 0 : 1), units[i] as string];
}

/** 3 d 4 h, 5 h 12 min, 3 min 8 s, 12 s. */
export function duration(s: number | null | undefined): string {
  if (s === null || s === undefined || !Number.isFinite(s)) return "–";
  s = Math.max(0, Math.floor(s));
  const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  if (d > 0) return `${d} d ${h} h`;
  if (h > 0) return `${h} h ${m} min`;
  if (m > 0) return `${m} min ${s % 60} s`;
  return `${s} s`;
}

function date(t: string | number | Date | null | undefined): Date | null {
  if (t === null || t === undefined || t === "") return null;
  const d = new Date(t);
  return Number.isNaN(d.getTime()) || d.getFullYear() < 1990 ? null : d;
}

const two = (n: number) => String(n).padStart(2, "0");

/** 18:03:12 */
export function clock(t: string | number | Date | null | undefined): string {
  const d = date(t);
  return d ? `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}` : "–";
}

/** 2026-11-26 18:03:12 */
export function moment(t: string | number | Date | null | undefined): string {
  const d = date(t);
  return d ? `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${clock(d)}` : "–";
}

/** Seconds from t to now, both of the box's clock where now is given. */
export function since(t: string | null | undefined, now: string | number): number | null {
  const a = date(t), b = date(now);
  return a && b ? Math.max(0, (b.getTime() - a.getTime()) / 1000) : null;
}
