// A box to develop the page against: `npm run dev`, sign in with any name and
// the password "password10". Nothing of it is built into dist/; what counts is
// tested against the real programs (tests/browser).
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Connect, Plugin } from "vite";
import { Box } from "./box";

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

async function body(req: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of req) text += String(chunk);
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    return text;
  }
}

function handler(box: Box): Connect.NextHandleFunction {
  return (req: IncomingMessage, res: ServerResponse, next: Connect.NextFunction) => {
    const url = new URL(req.url ?? "/", "http://localhost");
    if (!url.pathname.startsWith("/api/v1/")) return next();
    const path = url.pathname.slice("/api/v1".length);
    if (path === "/events") {
      res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
      const say = () => res.write(`event: overview\ndata: ${JSON.stringify(box.overview())}\n\n`);
      say();
      const timer = setInterval(() => box.silent || say(), 1000);
      req.on("close", () => clearInterval(timer));
      return;
    }
    void body(req).then((b) => {
      const a = box.answer(req.method ?? "GET", path, url.searchParams, b, req.headers);
      res.statusCode = a.status;
      for (const [k, v] of Object.entries(a.headers ?? {})) res.setHeader(k, v);
      if (a.data === undefined) return res.end();
      res.setHeader("Content-Type", a.status >= 400 ? "application/problem+json" : "application/json");
      res.end(JSON.stringify(a.data));
    });
  };
}

export function mock(): Plugin {
  const box = new Box();
  return {
    name: "quartet-mock",
    configureServer: (s) => void s.middlewares.use(handler(box)),
    configurePreviewServer: (s) => {
      s.middlewares.use((_req, res, next) => {
        res.setHeader("Content-Security-Policy", policy);
        next();
      });
      s.middlewares.use(handler(box));
    },
  };
}
