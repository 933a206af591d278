// Start: asks at once for all that the first view needs, draws when it is there.
import { render } from "preact";
import { get, Problem, session, signedOut } from "./api";
import { App, box } from "./app";
import { languages, setLanguage, wanted, type Language } from "./i18n";
import { start } from "./live";
import type { Overview, Session, State } from "./types";
import "./style/base.css";
import "./style/parts.css";
import "./style/live.css";

async function boot(): Promise<void> {
  const root = document.getElementById("app") as HTMLElement;
  const state = get<State>("/state");
  const who = get<Session>("/session").catch((e: unknown) => {
    if (e instanceof Problem && e.status === 401) return null;
    throw e;
  });
  const overview = get<Overview>("/status").catch(() => null);
  try {
    const [s, w] = await Promise.all([state, who]);
    const other = s.language in languages ? (s.language as Language) : "en";
    await setLanguage(wanted(other));
    box.set({ state: s, failed: false });
    if (w) {
      start(await overview);
      session.set({ known: true, session: w, why: "start" });
    } else {
      signedOut("start");
    }
  } catch {
    await setLanguage(wanted("en"));
    box.set({ state: null, failed: true });
  }
  render(<App />, root);
}

void boot();
