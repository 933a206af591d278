// The one way to the box: REST under /api/v1, errors as problem+json (RFC 9457).
import type { Issue, Session } from "./types";
import { Store } from "./store";

const base = "/api/v1";

/** What the box answered in place of what was asked for. */
export class Problem extends Error {
  constructor(
    readonly status: number, // 0: no answer at all
    readonly title: string,
    readonly detail: string,
    readonly errors: Issue[],
    readonly retryAfter: number, // seconds; 0: not said
    readonly body: Record<string, unknown>,
  ) {
    super(detail || title);
  }
}

export interface Answer<T> {
  status: number;
  data: T;
  etag: string;
}

export type SignedOut = "start" | "expired" | "left" | "changed";

export interface SessionState {
  known: boolean; // the box has been asked
  session: Session | null;
  why: SignedOut;
}

/** Who is signed in at this browser. */
export const session = new Store<SessionState>({ known: false, session: null, why: "start" });

export function signedOut(why: SignedOut): void {
  session.set({ known: true, session: null, why });
}

export interface Options {
  ifMatch?: string;
  ifNoneMatch?: string;
  signal?: AbortSignal;
  timeout?: number; // ms
}

function list(v: unknown): Issue[] {
  if (!Array.isArray(v)) return [];
  return v.map((e: Partial<Issue>) => ({
    path: String(e.path ?? ""),
    value: e.value === undefined ? "" : String(e.value),
    problem: String(e.problem ?? ""),
    remedy: String(e.remedy ?? ""),
  }));
}

async function problem(r: Response): Promise<Problem> {
  let body: Record<string, unknown> = {};
  try {
    body = (await r.json()) as Record<string, unknown>;
  } catch {
    // Not JSON: a proxy's page, or nothing.
  }
  const text = (k: string) => (typeof body[k] === "string" ? (body[k] as string) : "");
  const remedy = text("remedy");
  const detail = [text("detail"), text("detail").includes(remedy) ? "" : remedy].filter(Boolean).join("; ");
  return new Problem(r.status, text("title") || r.statusText || String(r.status), detail, list(body["errors"]),
    Number(r.headers.get("Retry-After") ?? body["retry_after_s"] ?? 0) || 0, body);
}

async function send(method: string, path: string, body: unknown, o: Options): Promise<Response> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["Content-Type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  if (o.ifMatch) headers["If-Match"] = o.ifMatch;
  if (o.ifNoneMatch) headers["If-None-Match"] = o.ifNoneMatch;
  const stop = new AbortController();
  o.signal?.addEventListener("abort", () => stop.abort());
  const timer = setTimeout(() => stop.abort(), o.timeout ?? 30_000);
  let r: Response;
  try {
    r = await fetch(base + path, {
      method,
      headers,
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: stop.signal,
    });
  } catch (e) {
    if (o.signal?.aborted) throw e;
    throw new Problem(0, "no answer", "", [], 0, {});
  } finally {
    clearTimeout(timer);
  }
  if (r.ok || r.status === 304) return r;
  const p = await problem(r);
  // A session that has ended shows at whatever is asked next.
  if (r.status === 401 && path !== "/session" && path !== "/claim" && session.value.session) signedOut("expired");
  throw p;
}

export async function call<T>(method: string, path: string, body?: unknown, o: Options = {}): Promise<Answer<T>> {
  const r = await send(method, path, body, o);
  const text = r.status === 204 || r.status === 304 ? "" : await r.text();
  return { status: r.status, data: (text ? JSON.parse(text) : null) as T, etag: r.headers.get("ETag") ?? "" };
}

export const get = <T>(path: string, o?: Options) => call<T>("GET", path, undefined, o).then((a) => a.data);

/** An answer that is a picture or a file. */
export async function raw(method: string, path: string, body?: unknown, o: Options = {}): Promise<Response> {
  return send(method, path, body, o);
}

/** Sends a file of any size, and tells how much of it has gone (0…1). */
export function sendFile(path: string, file: Blob, told: (part: number) => void): Promise<void> {
  return new Promise((done, failed) => {
    // fetch does not tell how far it is.
    const r = new XMLHttpRequest();
    r.open("POST", base + path);
    r.setRequestHeader("Content-Type", "application/octet-stream");
    r.upload.onprogress = (e) => e.lengthComputable && e.total > 0 && told(e.loaded / e.total);
    r.onerror = () => failed(new Problem(0, "no answer", "", [], 0, {}));
    r.onload = () => {
      if (r.status >= 200 && r.status < 300) return done();
      if (r.status === 401 && session.value.session) signedOut("expired");
      problem(new Response(r.responseText, { status: r.status, statusText: r.statusText })).then(failed, failed);
    };
    r.send(file);
  });
}

/** Fetches a file and hands it to the browser's downloads. */
export async function download(method: string, path: string, name: string, body?: unknown): Promise<void> {
  const r = await send(method, path, body, { timeout: 120_000 });
  const said = /filename="?([^";]+)"?/.exec(r.headers.get("Content-Disposition") ?? "")?.[1];
  const url = URL.createObjectURL(await r.blob());
  const a = document.createElement("a");
  a.href = url;
  a.download = said ?? name;
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
