// Documents: paths such as paths[2].srt.fc_packets, differences, the schema.
import type { Doc, Json } from "./types";

export type Step = string | number;

/** Takes a path apart; the inverse of join. */
export function steps(path: string): Step[] {
  const list: Step[] = [];
  for (const m of path.matchAll(/([^.[\]]+)|\[(\d+)\]/g)) list.push(m[2] !== undefined ? Number(m[2]) : (m[1] as string));
  return list;
}

export function join(list: Step[]): string {
  let path = "";
  for (const s of list) path += typeof s === "number" ? `[${s}]` : path ? "." + s : s;
  return path;
}

export function at(doc: Json | undefined, path: string): Json | undefined {
  let v: Json | undefined = doc;
  for (const s of steps(path)) {
    if (v === null || v === undefined || typeof v !== "object") return undefined;
    v = Array.isArray(v) ? v[s as number] : v[s];
  }
  return v;
}

/** The document with another value at path; undefined removes it. What does
 * not lie on the way is shared with the old document. */
export function put(doc: Json, path: string, value: Json | undefined): Json {
  const set = (v: Json | undefined, list: Step[]): Json => {
    const [s, ...rest] = list;
    if (typeof s === "number") {
      const copy = Array.isArray(v) ? [...v] : [];
      const next = rest.length ? set(copy[s], rest) : value;
      if (next === undefined) copy.splice(s, 1);
      else copy[s] = next;
      return copy;
    }
    const copy: Doc = v && typeof v === "object" && !Array.isArray(v) ? { ...v } : {};
    const next = rest.length ? set(copy[s as string], rest) : value;
    if (next === undefined) delete copy[s as string];
    else copy[s as string] = next;
    return copy;
  };
  const list = steps(path);
  return list.length ? set(doc, list) : (value ?? null);
}

export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (!a || !b || typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return false;
  const ka = Object.keys(a), kb = Object.keys(b);
  return ka.length === kb.length && ka.every((k) => same((a as Doc)[k], (b as Doc)[k]));
}

export interface Difference {
  path: string;
  from: Json | undefined;
  to: Json | undefined;
}

const named = (v: Json | undefined): v is Doc[] =>
  Array.isArray(v) && v.length > 0 && v.every((e) => !!e && typeof e === "object" && !Array.isArray(e) && typeof e["name"] === "string");

/** What differs, leaf by leaf. Lists whose length differs count as one value. */
export function differences(a: Json | undefined, b: Json | undefined, path: Step[] = []): Difference[] {
  if (same(a, b)) return [];
  const object = (v: Json | undefined): v is Doc => !!v && typeof v === "object" && !Array.isArray(v);
  if (object(a) && object(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...keys].flatMap((k) => differences(a[k], b[k], [...path, k]));
  }
  // The same entries in the same order: a list with one more or less, or in
  // another order, is a change of the list.
  if (Array.isArray(a) && Array.isArray(b) && a.length === b.length) {
    return a.flatMap((_, i) => differences(a[i], b[i], [...path, i]));
  }
  return [{ path: join(path), from: a, to: b }];
}

export interface Merge {
  merged: Doc;
  mine: Difference[];
  theirs: Difference[];
  clashes: string[]; // paths that both changed, to different values
}

const touches = (a: string, b: string) => a === b || a.startsWith(b + ".") || a.startsWith(b + "[") || b.startsWith(a + ".") || b.startsWith(a + "[");

/** Puts my changes since base onto theirs. Where both changed one place, mine
 * is taken and the place is named. */
export function merge(base: Doc, my: Doc, their: Doc): Merge {
  const mine = differences(base, my), theirs = differences(base, their);
  let merged: Json = their;
  const clashes: string[] = [];
  for (const d of mine) {
    const other = theirs.find((t) => touches(d.path, t.path));
    if (other && !(other.path === d.path && same(other.to, d.to))) clashes.push(d.path);
    // An entry of a list that they made shorter or longer is found by its name.
    const list = steps(d.path);
    const i = list.findIndex((s) => typeof s === "number");
    let path = d.path;
    if (i > 0) {
      const where = join(list.slice(0, i));
      const before = at(base, where), now = at(their, where);
      const entry = named(before) ? before[list[i] as number] : undefined;
      if (entry && named(now)) {
        const k = now.findIndex((e) => e["name"] === entry["name"]);
        if (k < 0) continue; // they removed it: their word stands, and is listed
        list[i] = k;
        path = join(list);
      }
    }
    merged = put(merged, path, d.to);
  }
  return { merged: merged as Doc, mine, theirs, clashes };
}

/** A field of the schema. */
export interface Field {
  type?: string;
  description?: string;
  default?: Json;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  enum?: Json[];
  pattern?: string;
  writeOnly?: boolean;
  $ref?: string;
  items?: Field;
  properties?: Record<string, Field>;
  required?: string[];
}

export type Schema = Field & { $defs?: Record<string, Field> };

/** The schema's word about a field; undefined if it knows none of that name. */
export function field(schema: Schema | null, path: string): Field | undefined {
  if (!schema) return undefined;
  const resolve = (f: Field | undefined): Field | undefined => (f?.$ref ? { ...f, ...schema.$defs?.[f.$ref.replace("#/$defs/", "")], $ref: undefined } : f);
  let f = resolve(schema);
  for (const s of steps(path)) f = resolve(typeof s === "number" ? f?.items : f?.properties?.[s]);
  return f;
}

/** A secret that is there and not shown. */
export const kept = "(set)";

/** What is typed as a number. What is none goes to the box as it is, and comes
 * back as an error at its field. */
export function readNumber(typed: string): Json | undefined {
  const s = typed.trim().replace(",", ".");
  return s === "" ? undefined : /^-?\d+(\.\d+)?$/.test(s) ? Number(s) : s;
}
